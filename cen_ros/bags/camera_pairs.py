# SPDX-License-Identifier: Apache-2.0
"""Which two topics of a bag are color and depth of one camera, judged together by their names.

A camera's own name may tell of depth, stereo, left or right. So a name is read from where it differs from that of the
topic that it is paired with; and the two words that count most are those that one of the names has and the other lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product, takewhile

from cen_ros.bags.reader import BagTopic
from cen_ros.bags.topic_names import (
    COLOR,
    COMPRESSED,
    COMPRESSED_DEPTH,
    DEPTH,
    OTHER,
    REGISTERED,
    TRUTH,
    looks_like_depth,
    words_of,
)

_GRAY, _RECTIFIED = {"gray", "grey", "mono"}, {"rect", "rectified"}
_USUAL = COLOR | DEPTH | REGISTERED | _GRAY | _RECTIFIED | {"image", "raw", "compressed", "camera", "cam", "sensor"}
"""Words by which color and depth of one camera may differ."""


@dataclass(frozen=True)
class Pair:
    """The topics of one camera, with the pairs that are as good by their names and those that are less so."""

    color: BagTopic
    depth: BagTopic
    equal: tuple[Pair, ...] = ()
    worse: tuple[Pair, ...] = ()

    @property
    def messages(self) -> int:
        return self.color.count + self.depth.count


def best_pair(colors: Mapping[str, BagTopic], depths: Mapping[str, BagTopic], given: frozenset[str]) -> Pair | None:
    """Return the color and depth that fit each other best; None where no two topics look like a camera's.

    Depth that is registered to color is preferred, raw images to compressed ones; where names do not decide, the most
    messages do.

    Args:
        colors: images that may be color, by name.
        depths: images that may be depth, by name.
        given: names that are taken for what they are offered as, whatever their words.
    """
    ranks = {pair: _rank(*pair, given) for pair in product(colors.values(), depths.values()) if pair[0] != pair[1]}
    ranked = [pair for pair, rank in ranks.items() if rank is not None]
    if not ranked:
        return None
    top = max(ranks[pair] for pair in ranked)
    best, *equal = sorted((Pair(*pair) for pair in ranked if ranks[pair] == top), key=_most_messages)
    worse = sorted((Pair(*pair) for pair in ranked if ranks[pair] != top), key=_most_messages)
    return Pair(best.color, best.depth, tuple(equal), tuple(worse))


def _most_messages(pair: Pair) -> tuple:
    return -pair.messages, len(pair.color.name + pair.depth.name), pair.color.name, pair.depth.name


def _rank(color: BagTopic, depth: BagTopic, given: frozenset[str]) -> tuple | None:
    shared = _shared(color.name, depth.name)
    color_rank = _rank_color(color, shared, color.name in given)
    depth_rank = _rank_depth(depth, shared, depth.name in given)
    if color_rank is None or depth_rank is None:
        return None
    apart = len((words_of(color.name) ^ words_of(depth.name)) - _USUAL)
    named, *further = color_rank
    return (-apart, named, shared, *depth_rank, *further)


def _shared(one: str, other: str) -> int:
    """Return how many leading parts two names have in common; their last parts are their own."""
    parts = zip(one.split("/")[:-1], other.split("/")[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], parts))


def _own(name: str, shared: int) -> str:
    return "/".join(name.split("/")[shared:])


def _rank_depth(topic: BagTopic, shared: int, given: bool) -> tuple | None:
    name = _own(topic.name, shared)
    words, compressed = words_of(name), topic.type == COMPRESSED
    if not given:
        if not looks_like_depth(name) or words & (TRUTH | OTHER):
            return None
        if compressed and not name.endswith(COMPRESSED_DEPTH):
            return None  # JPEG of depth is a picture of it, not its values
    to_color = any(f"_to_{color}" in name for color in COLOR)
    return bool(words & REGISTERED) or to_color, "depth" in words, not compressed


def _rank_color(topic: BagTopic, shared: int, given: bool) -> tuple | None:
    name = _own(topic.name, shared)
    words, compressed = words_of(name), topic.type == COMPRESSED
    if not given:
        if looks_like_depth(name) or words & (TRUTH | OTHER) or not words & (COLOR | {"image", "left"}):
            return None
        if topic.name.endswith(COMPRESSED_DEPTH):
            return None
    finished = bool(words & _RECTIFIED), "raw" not in words  # image_raw of some cameras is Bayer
    return bool(words & COLOR), "_to_" not in name, not words & (_GRAY | {"right"}), not compressed, *finished
