# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are colour, depth, camera_info and truth: by type and by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cen_ros.bags.reader import Bag, BagError, BagTopic

IMAGE, COMPRESSED, INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))
# Words are looked for between the separators of a name: /camera/aligned_depth_to_color/image_raw has `depth` in it.
DEPTH = {"depth", "disparity"}
TRUTH = {"label", "labels", "semantic", "semantics", "segmentation", "truth", "gt", "groundtruth"}
OTHER = {
    "ir",
    "infra",
    "infra1",
    "infra2",
    "infrared",
    "mask",
    "confidence",
    "overlay",
    "fisheye",
    "thermal",
    "normals",
}
COLOR = {"color", "colour", "rgb"}
SIDE = {"right"}
TRANSPORTS = ("/compressedDepth", "/compressed")


@dataclass(frozen=True)
class Streams:
    """The chosen topics."""

    rgb: str
    depth: str
    info: str | None
    """CameraInfo of the colour camera"""
    truth: str | None
    """Label images to compare with"""
    why: str
    """One line for people."""


def choose(
    bag: Bag, rgb: str | None = None, depth: str | None = None, info: str | None = None, truth: str | None = None
) -> Streams:
    """
    The topics of `bag`; those given are taken as they are, the others are found.

    Raises:
        BagError: colour or depth is not found, or a given topic is not in the bag, or is no image or camera_info.
    """
    return choose_among(bag.topics, f"{bag.path}", rgb, depth, info, truth)


def choose_among(
    topics: Mapping[str, BagTopic],
    where: str,
    rgb: str | None = None,
    depth: str | None = None,
    info: str | None = None,
    truth: str | None = None,
) -> Streams:
    """`choose` among these topics; `where` begins the errors."""
    images = {name: topic for name, topic in topics.items() if topic.type in (IMAGE, COMPRESSED)}
    infos = {name: topic for name, topic in topics.items() if topic.type == INFO}
    reasons: list[str] = []

    def pick(kind: str, given: str | None, among: Mapping[str, BagTopic], rank: Callable, needed: bool) -> str | None:
        if given is not None:
            if given not in among:
                raise BagError(f"{where}: {kind} topic {given} is not there as such; {_listing(among, topics)}")
            reasons.append(f"{kind} {given} (given)")
            return given
        best = _best({name: rank(name, topic) for name, topic in among.items() if topic.count}, among)
        if best is None and needed:
            raise BagError(f"{where}: no {kind} topic was recognised; name it. {_listing(among, topics)}")
        reasons.append(f"{kind} {best[0]}{best[1]}" if best else f"no {kind}")
        return best[0] if best else None

    depth = pick("depth", depth, images, _rank_depth, needed=True)
    taken = {depth}
    color = {name: topic for name, topic in images.items() if name not in taken}
    rgb = pick("colour", rgb, images if rgb else color, lambda *args: _rank_color(*args, depth), needed=True)
    info = pick("camera_info", info, infos, lambda name, _: _rank_info(name, rgb), needed=False)
    truth = pick("truth", truth, images, lambda *args: _rank_truth(*args), needed=False)
    return Streams(rgb, depth, info, truth, ", ".join(reasons))


def _best(ranks: Mapping[str, tuple | None], topics: Mapping[str, BagTopic]) -> tuple[str, str] | None:
    """The topic of the highest rank and, where several share it, a remark; of those the one with most messages."""
    ranked = [name for name, rank in ranks.items() if rank is not None]
    if not ranked:
        return None
    top = max(ranks[name] for name in ranked)
    equal = [name for name in ranked if ranks[name] == top]
    best = max(equal, key=lambda name: (topics[name].count, -len(name), name))
    others = ", ".join(f"{name} {topics[name].count}" for name in equal if name != best)
    return best, f" (the most messages, {topics[best].count}; also {others})" if others else ""


def _words(name: str) -> set[str]:
    return set(re.split(r"[/_\W]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()))


def _rank_depth(name: str, topic: BagTopic) -> tuple | None:
    words = _words(name)
    if not words & DEPTH or words & (TRUTH | OTHER) or "info" in words or "points" in words:
        return None
    if topic.type == COMPRESSED and not name.endswith("/compressedDepth"):
        return None  # JPEG of depth is a picture of it, not its values
    registered = bool(words & {"aligned", "registered", "registration"})
    return (registered, "depth" in words, topic.type == IMAGE, "raw" not in words or registered)


def _rank_color(name: str, topic: BagTopic, depth: str | None) -> tuple | None:
    words = _words(name)
    if words & (DEPTH | TRUTH | OTHER) or name.endswith("/compressedDepth"):
        return None
    colour, image = bool(words & COLOR), "image" in words
    if not colour and not image and "left" not in words:
        return None
    together = _camera(name) == _camera(depth) if depth else False
    rectified = "rect" in words or "rectified" in words
    return (colour, together, not words & SIDE, "gray" not in words, topic.type == IMAGE, rectified)


def _rank_truth(name: str, topic: BagTopic) -> tuple | None:
    words = _words(name)
    if not words & TRUTH or topic.type != IMAGE or words & (OTHER | COLOR | DEPTH):
        return None  # a compressed label image may be a JPEG, which alters labels
    return (bool(words & {"truth", "gt", "groundtruth"}), bool(words & {"label", "labels"}))


def _rank_info(name: str, rgb: str) -> tuple | None:
    """The camera_info in the same namespace as the image, as image_transport has it; else one of a colour camera."""
    beside = _folder(name) == _folder(_raw_name(rgb))
    colour = bool(_words(name) & COLOR) and not _words(name) & (DEPTH | OTHER)
    return (beside, colour) if beside or colour else None


def _raw_name(name: str) -> str:
    """The image topic that a compressed one belongs to."""
    for transport in TRANSPORTS:
        name = name.removesuffix(transport)
    return name


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _camera(name: str) -> str:
    """The first part of a name, which is the camera's where there are several."""
    return name.strip("/").partition("/")[0]


def _listing(among: Mapping[str, BagTopic], topics: Mapping[str, BagTopic]) -> str:
    listed = among or topics
    kind = "of that kind there are" if among else "there are only"
    return f"{kind} {', '.join(f'{name} ({topic.type}, {topic.count})' for name, topic in listed.items()) or 'none'}"
