# SPDX-License-Identifier: Apache-2.0
"""Says why no labels come: who does not publish, or not so that it arrives, or by how much the stamps miss each other.

Knows no ROS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
    """

    topic: str
    type: str
    reliable: bool
    offers: Sequence[Offer]
    images: int

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


def explain(
    rgb: Stream, depth: Stream, slop_ms: float, offset_ms: float, nearest_ms: float | None, lag_ms: float | None
) -> str:
    """Why there was no RGB-D pair.

    Args:
        slop_ms: largest difference of two stamps in a pair.
        offset_ms: the present stamp_offset.
        nearest_ms: the smallest difference seen between an RGB and a depth stamp, None where none can be compared.
        lag_ms: by how much depth's stamps lie behind RGB's, judged by when images arrive.
    """
    silent = [reason for reason in (rgb.silence(), depth.silence()) if reason]
    if silent:
        return "no RGB-D pair: " + " and ".join(silent)
    nearest = "unknown" if nearest_ms is None else f"{nearest_ms:.1f} ms"
    text = (
        f"no RGB-D pair: {rgb.images} images on {rgb.topic} and {depth.images} on {depth.topic}, but no two stamps "
        f"within sync_slop ({slop_ms:.1f} ms); the nearest were {nearest} apart"
    )
    if lag_ms is None or abs(lag_ms - offset_ms) <= slop_ms:
        return text
    side = "behind" if lag_ms > 0 else "ahead of"
    return (
        f"{text}. By their arrival, depth's stamps lie about {abs(lag_ms):.0f} ms {side} RGB's: "
        f"set stamp_offset to {lag_ms / 1e3:.3f}"
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
