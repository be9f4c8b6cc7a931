# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag are color, depth, camera_info and truth: by type and by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from cen_ros.bags.camera_pairs import Pair, best_pair
from cen_ros.bags.reader import Bag, BagError, BagTopic
from cen_ros.bags.topic_names import COLOR, COMPRESSED, IMAGE, INFO, OTHER, TRUTH, looks_like_depth, words_of
from cen_ros.messages.images import LABEL_ENCODINGS

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
    """Return the topics of a bag; those given are taken as they are, the others are found (see `camera_pairs`).

    Raises:
        BagError: color or depth is not found, or a given topic is not in the bag, or is no image or camera_info.
    """
    images = {name: topic for name, topic in bag.topics.items() if topic.type in (IMAGE, COMPRESSED)}
    infos = {name: topic for name, topic in bag.topics.items() if topic.type == INFO}
    pair = _camera(bag, images, rgb, depth)
    reasons = [
        _reason("color", pair.color, rgb, *([each.color for each in pairs] for pairs in (pair.equal, pair.worse))),
        _reason("depth", pair.depth, depth, *([each.depth for each in pairs] for pairs in (pair.equal, pair.worse))),
    ]

    def pick(kind: str, given: str | None, among: Mapping[str, BagTopic], rank: Callable) -> str | None:
        if given is not None:
            best, equal = _given(kind, given, among, bag), []
        else:
            best, *equal = _ranked({topic: rank(topic) for topic in among.values() if topic.count}) or [None]
        reasons.append(_reason(kind, best, given, equal) if best else f"no {kind}")
        return best.name if best else None

    info = pick("camera_info", info, infos, lambda topic: _rank_info(topic, pair.color.name))
    truth = pick("truth", truth, images, lambda topic: _rank_truth(topic, bag))
    return Streams(pair.color.name, pair.depth.name, info, truth, ", ".join(reasons))


def _camera(bag: Bag, images: Mapping[str, BagTopic], rgb: str | None, depth: str | None) -> Pair:
    filled = {name: topic for name, topic in images.items() if topic.count}
    colors = filled if rgb is None else {rgb: _given("color", rgb, images, bag)}
    depths = filled if depth is None else {depth: _given("depth", depth, images, bag)}
    pair = best_pair(colors, depths, frozenset(name for name in (rgb, depth) if name))
    if pair is None:
        kind = "color" if depth or any(map(looks_like_depth, depths)) else "depth"
        raise BagError(f"{bag.path}: no topic looks like {kind}; name it. {_listing(images, bag)}")
    return pair


def _given(kind: str, name: str, among: Mapping[str, BagTopic], bag: Bag) -> BagTopic:
    if name not in among:
        raise BagError(f"{bag.path}: no {kind} topic {name}; {_listing(among, bag)}")
    return among[name]


def _ranked(ranks: Mapping[BagTopic, tuple | None]) -> list[BagTopic]:
    """Return the topics of the highest rank; the one with most messages first."""
    ranked = [topic for topic, rank in ranks.items() if rank is not None]
    top = max((ranks[topic] for topic in ranked), default=None)
    equal = [topic for topic in ranked if ranks[topic] == top]
    return sorted(equal, key=lambda topic: (-topic.count, len(topic.name), topic.name))


def _reason(
    kind: str, chosen: BagTopic, given: str | None, equal: Sequence[BagTopic], worse: Sequence[BagTopic] = ()
) -> str:
    """Say what was chosen, of which candidates, and whether names decided."""
    if given is not None:
        return f"{kind} {given} (given)"
    as_good = {topic.name: f"{topic.name} {topic.count}" for topic in equal if topic != chosen}
    further = {topic.name: topic.name for topic in worse if topic != chosen and topic.name not in as_good}
    remarks = [f"with {chosen.count} messages; as good were {', '.join(as_good.values())}"] if as_good else []
    remarks += [f"not taken: {', '.join(further)}"] if further else []
    said = f" ({'; '.join(remarks)})" if remarks else ""
    return f"{kind} {chosen.name}{said}"


def _rank_truth(topic: BagTopic, bag: Bag) -> tuple | None:
    if topic.type != IMAGE or OUR_OUTPUT in topic.name:  # a compressed label image may be a JPEG, which alters labels
        return None
    parts = [words_of(part) for part in topic.name.split("/")]
    first = next((k for k, words in enumerate(parts) if words & TRUTH), None)
    if first is None or set().union(*parts[first:]) & (OTHER | COLOR):
        return None  # such as semantic_color/image_raw
    images = islice(bag.messages([topic.name]), 1)
    if not all(each.message.encoding in LABEL_ENCODINGS for each in images):
        return None  # colored labels
    words = words_of(topic.name)
    return (bool(words & {"truth", "gt", "groundtruth"}), bool(words & {"label", "labels"}))


def _rank_info(topic: BagTopic, rgb: str) -> tuple | None:
    """The camera_info in the same namespace as the image, as image_transport has it; else one of a color camera."""
    image = rgb.removesuffix("/compressed")
    beside = topic.name.rpartition("/")[0] in (image.rpartition("/")[0], image)
    color = bool(words_of(topic.name) & COLOR) and not looks_like_depth(topic.name)
    return (beside, color) if beside or color else None


def _listing(among: Mapping[str, BagTopic], bag: Bag) -> str:
    listed = ", ".join(f"{topic.name} ({topic.type}, {topic.count})" for topic in (among or bag.topics).values())
    return f"{'there are' if among else 'none is of its type; there are'} {listed}"
