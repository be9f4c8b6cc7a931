# SPDX-License-Identifier: Apache-2.0
"""Says why no labels come: who does not publish, or not so that it arrives, or by how much the stamps miss each other.

Knows no ROS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cen_ros.segmentation.waiting import LONGEST_NS, MOST_BYTES


@dataclass(frozen=True)
class Offer:
    """A publisher of a topic."""

    node: str
    type: str
    """As in "sensor_msgs/msg/Image"."""
    reliable: bool


@dataclass(frozen=True)
class Stream:
    """A subscription, and what is there for it.

    Attributes:
        reliable: whether it asks for reliable publishers.
        images: how many came since the last look.
        fault: of the stamps, as `stamps.fault` says it.
    """

    topic: str
    type: str
    reliable: bool
    offers: Sequence[Offer]
    images: int
    fault: str | None = None

    def silence(self) -> str | None:
        """Why nothing came; None if something did."""
        if self.images:
            return None
        if not self.offers:
            return f"nothing on {self.topic}: nobody publishes it"
        types = {offer.type for offer in self.offers}
        if self.type not in types:
            found = " and ".join(sorted(types))
            return f"nothing on {self.topic}: expected {self.type}, but {self.offers[0].node} publishes {found}"
        if self.reliable and not any(offer.reliable for offer in self.offers):
            return (
                f"nothing on {self.topic}: it is offered as best effort by {self.offers[0].node}, and requested as "
                "reliable; set the parameter reliability to best_effort"
            )
        names = ", ".join(sorted({offer.node for offer in self.offers}))
        return (
            f"nothing on {self.topic}: {names} offers it, but sends nothing, or its images are lost on the way "
            "(Fast DDS needs shared memory that holds them: see the README)"
        )

    def confusion(self) -> str | None:
        """Why no stamp of this stream can be told from another; None if they can."""
        names = sorted(offer.node for offer in self.offers if offer.type == self.type)
        if len(names) > 1:
            publishers = f"{len(names)} publishers send to {self.topic} ({', '.join(names)}): let one alone send to it"
            return f"{publishers}; its stamps {self.fault}" if self.fault else publishers
        return f"the stamps of {self.topic} {self.fault}" if self.fault else None


@dataclass(frozen=True)
class Match:
    """How the stamps of RGB and depth fit together.

    Attributes:
        slop_ms: largest difference of two stamps in a pair.
        offset_ms: the present stamp_offset.
        nearest_ms: the smallest difference seen between an RGB and a depth stamp, None where none can be compared.
        lag_ms: by how much depth's stamps lie behind RGB's, judged by when images arrive.
        late_ms: by how much depth comes too late after the RGB image of its stamp; negative where RGB does.
    """

    slop_ms: float
    offset_ms: float = 0.0
    nearest_ms: float | None = None
    lag_ms: float | None = None
    late_ms: float | None = None


def explain(rgb: Stream, depth: Stream, match: Match) -> str:
    """Say why there was no RGB-D pair."""
    silent = [reason for reason in (rgb.silence(), depth.silence()) if reason]
    if silent:
        return "no RGB-D pair: " + " and ".join(silent)
    text = f"no RGB-D pair: {rgb.images} images on {rgb.topic} and {depth.images} on {depth.topic}, but "
    confused = [reason for reason in (rgb.confusion(), depth.confusion()) if reason]
    if confused:
        return text + " and ".join(confused)
    if match.late_ms is not None:
        return (
            f"{text}{lateness(match.late_ms)}; stamp_offset does not mend a delay: lower the rate or the resolution of "
            "the camera, or let it send compressed images"
        )
    text += f"no two stamps within sync_slop ({match.slop_ms:.1f} ms)"
    if match.nearest_ms is not None:
        text += f"; the nearest were {match.nearest_ms:.1f} ms apart"
    if match.lag_ms is None or abs(match.lag_ms - match.offset_ms) <= match.slop_ms:
        return text
    side = "behind" if match.lag_ms > 0 else "ahead of"
    return (
        f"{text}. By their arrival, depth's stamps lie about {abs(match.lag_ms):.0f} ms {side} RGB's: "
        f"if the clocks of the streams differ, set stamp_offset to {match.lag_ms / 1e3:.3f}"
    )


def lateness(late_ms: float, earlier: str = "color", later: str = "depth") -> str:
    """Say that a stream comes too late for its partner, `later` by `late_ms`, or `earlier` where that is negative."""
    if late_ms < 0:
        earlier, later = later, earlier
    return (
        f"{later} arrives {abs(late_ms):.0f} ms after {earlier} of the same stamp, and an image waits for its partner "
        f"for at most {LONGEST_NS / 1e9:g} s, in at most {MOST_BYTES / 1e6:g} MB, and until a newer pair is there"
    )


def offset_warning(difference_ms: float | None, slop_ms: float, offset_ms: float) -> str | None:
    """A word where pairs are found, but their stamps differ by so much that they may be lost next; else None.

    Args:
        difference_ms: median of RGB stamp - (depth stamp + offset).
        offset_ms: the present stamp_offset.
    """
    if difference_ms is None or abs(difference_ms) <= slop_ms / 2:
        return None
    side = "behind" if difference_ms > 0 else "ahead of"
    return (
        f"depth's stamps lie {abs(difference_ms):.1f} ms {side} RGB's (median of the pairs; sync_slop is "
        f"{slop_ms:.1f} ms): set stamp_offset to {(offset_ms + difference_ms) / 1e3:.4f}"
    )
