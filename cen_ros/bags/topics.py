# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are color, depth, camera_info and truth: by type and by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile

from cen_ros.bags.reader import Bag, BagError, BagTopic
from cen_ros.messages.images import LABEL_ENCODINGS

IMAGE, COMPRESSED, INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))
# Words of a name are what stands between its separators; of `depth_to_color` the camera that is looked at from counts.
DEPTH = {"depth", "disparity", "stereo"}
TRUTH = {"label", "labels", "semantic", "semantics", "seg", "segmentation", "truth", "gt", "groundtruth"}
OTHER = {*("ir", "infra", "infra1", "infra2", "infrared", "thermal", "normals"), *("mask", "confidence", "overlay")}
COLOR = {"color", "colour", "rgb"}
REGISTERED = {"aligned", "registered", "registration"}
OUR_OUTPUT = "cen_segmentation"
"""The node's name: labels below it are answers, not the truth."""


@dataclass(frozen=True)
class Streams:
    """The chosen topics."""

    rgb: str
    depth: str
    info: str | None
    """CameraInfo of the color camera"""
    truth: str | None
    """Label images to compare with"""
    why: str
    """One line for people."""


def choose(
    bag: Bag, rgb: str | None = None, depth: str | None = None, info: str | None = None, truth: str | None = None
) -> Streams:
    """
    The topics of `bag`; those given are taken as they are, the others are found. Depth that is registered to color is
    preferred, raw images to compressed ones; where names do not decide, the most messages do.

    Raises:
        BagError: color or depth is not found, or a given topic is not in the bag, or is no image or camera_info.
    """
    images = {name: topic for name, topic in bag.topics.items() if topic.type in (IMAGE, COMPRESSED)}
    infos = {name: topic for name, topic in bag.topics.items() if topic.type == INFO}
    reasons: list[str] = []

    def pick(kind: str, given: str | None, among: Mapping[str, BagTopic], rank: Callable, needed: bool) -> str | None:
        if given is not None:
            if given not in among:
                raise BagError(f"{bag.path}: no {kind} topic {given}; {_listing(among, bag)}")
            reasons.append(f"{kind} {given} (given)")
            return given
        best = _best({name: rank(topic) for name, topic in among.items() if topic.count}, among)
        if best is None and needed:
            raise BagError(f"{bag.path}: no topic looks like {kind}; name it. {_listing(among, bag)}")
        reasons.append(f"{kind} {best[0]}{best[1]}" if best else f"no {kind}")
        return best[0] if best else None

    depth = pick("depth", depth, images, _rank_depth, needed=True)
    rgb = pick("color", rgb, images, lambda topic: _rank_color(topic, depth), needed=True)
    info = pick("camera_info", info, infos, lambda topic: _rank_info(topic, rgb), needed=False)
    truth = pick("truth", truth, images, lambda topic: _rank_truth(topic, bag), needed=False)
    return Streams(rgb, depth, info, truth, ", ".join(reasons))


def _best(ranks: Mapping[str, tuple | None], topics: Mapping[str, BagTopic]) -> tuple[str, str] | None:
    """The topic of the highest rank and, where several share it, a remark; of those the one with most messages."""
    ranked = [name for name, rank in ranks.items() if rank is not None]
    if not ranked:
        return None
    top = max(ranks[name] for name in ranked)
    equal = [name for name in ranked if ranks[name] == top]
    best = min(equal, key=lambda name: (-topics[name].count, len(name), name))
    others = ", ".join(f"{name} {topics[name].count}" for name in equal if name != best)
    return best, f" (with {topics[best].count} messages; as good were {others})" if others else ""


def _words(name: str) -> set[str]:
    name = name.removesuffix("/compressedDepth")  # the transport, which image_transport offers for color as well
    name = re.sub(r"_to_[a-z]+", "", re.sub(r"([a-z])([A-Z])", r"\1_\2", name))
    return set(re.split(r"[/_\W]+", name.lower()))


def _is_depth(name: str) -> bool:
    words = _words(name)
    return bool(words & DEPTH) and not words & {"left", "right"}


def _rank_depth(topic: BagTopic) -> tuple | None:
    words = _words(topic.name)
    if not _is_depth(topic.name) or words & (TRUTH | OTHER):
        return None
    if topic.type == COMPRESSED and not topic.name.endswith("/compressedDepth"):
        return None  # JPEG of depth is a picture of it, not its values
    registered = bool(words & REGISTERED) or bool(re.search(r"_to_(color|rgb)", topic.name))
    return (registered, "depth" in words, topic.type == IMAGE)


def _rank_color(topic: BagTopic, depth: str) -> tuple | None:
    words = _words(topic.name)
    if _is_depth(topic.name) or words & (TRUTH | OTHER) or not words & (COLOR | {"image", "left"}):
        return None
    if topic.name.endswith("/compressedDepth"):
        return None
    steps = zip(topic.name.split("/"), depth.split("/"), strict=False)
    near = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], steps))
    own_view, gray = "_to_" not in topic.name, bool(words & {"gray", "grey", "mono", "right"})
    finished = bool(words & {"rect", "rectified"}), "raw" not in words  # image_raw of some cameras is Bayer
    return (bool(words & COLOR), own_view, near, not gray, topic.type == IMAGE, *finished)


def _rank_truth(topic: BagTopic, bag: Bag) -> tuple | None:
    if topic.type != IMAGE or OUR_OUTPUT in topic.name:  # a compressed label image may be a JPEG, which alters labels
        return None
    parts = [_words(part) for part in topic.name.split("/")]
    first = next((k for k, words in enumerate(parts) if words & TRUTH), None)
    if first is None or set().union(*parts[first:]) & (OTHER | COLOR):
        return None  # such as semantic_color/image_raw
    images = islice(bag.messages([topic.name]), 1)
    if not all(each.message.encoding in LABEL_ENCODINGS for each in images):
        return None  # colored labels
    words = _words(topic.name)
    return (bool(words & {"truth", "gt", "groundtruth"}), bool(words & {"label", "labels"}))


def _rank_info(topic: BagTopic, rgb: str) -> tuple | None:
    """The camera_info in the same namespace as the image, as image_transport has it; else one of a color camera."""
    image = rgb.removesuffix("/compressed")
    beside = topic.name.rpartition("/")[0] in (image.rpartition("/")[0], image)
    color = bool(_words(topic.name) & COLOR) and not _is_depth(topic.name)
    return (beside, color) if beside or color else None


def _listing(among: Mapping[str, BagTopic], bag: Bag) -> str:
    listed = ", ".join(f"{topic.name} ({topic.type}, {topic.count})" for topic in (among or bag.topics).values())
    return f"{'there are' if among else 'none is of its type; there are'} {listed}"
