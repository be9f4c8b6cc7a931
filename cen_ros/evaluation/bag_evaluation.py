# SPDX-License-Identifier: Apache-2.0
"""Evaluation of one bag: read, labeled, counted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from cen_model.label_groups import LabelGroups
from cen_model.predictor import Prediction, Predictor
from cen_ros.bags.reader import Bag, BagMessage
from cen_ros.bags.topics import Streams, choose
from cen_ros.evaluation import bag_results
from cen_ros.evaluation.camera_poses import Geometry
from cen_ros.evaluation.gallery import Gallery
from cen_ros.evaluation.labeled_bag import LabeledBag
from cen_ros.evaluation.pairing import Pairing, median_ms
from cen_ros.evaluation.source import Frame, PairingConfig, Source, Truth, prefetched
from cen_ros.evaluation.tally import Tally
from cen_ros.evaluation.truth_folder import TruthFolder
from cen_ros.segmentation.stamps import fault
from cen_ros.segmentation.watch import lateness

NO_TRUTH = "none"


@dataclass(frozen=True)
class EvaluationConfig:
    """What of a bag is evaluated.

    Attributes:
        pairing: how images are paired.
        rgb, depth: topics; None for the ones that are found.
        truth: a topic, or a folder, or "none"; None for a topic that is found, if there is one.
        truth_groups: groups that truth is still to be put in, as the predictor's labels are.
    """

    pairing: PairingConfig
    rgb: str | None = None
    depth: str | None = None
    truth: str | TruthFolder | None = None
    truth_groups: LabelGroups | None = None


@dataclass(frozen=True)
class Evaluation:
    """A report as `results` describes it, without `run`, and the frames to show."""

    report: dict[str, Any]
    gallery: Gallery


def evaluate(
    path: Path,
    predictor: Predictor,
    config: EvaluationConfig,
    labeled: Path | None = None,
    start: Callable[[Streams, int], None] = lambda streams, frames: None,
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Evaluate a bag.

    Args:
        path: the bag.
        predictor: labels its frames; it must give confidence if `labeled` is asked for.
        config: what of it is evaluated.
        labeled: where to write a copy of the bag with labels, if anywhere.
        start: told the topics, and how many frames to expect at most.
        advance: called after every frame.

    Raises:
        ValueError: the bag cannot be read, its topics are not found, or its truth does not fit the network.
        OSError: the copy cannot be written.
    """
    with Bag(path) as bag:
        streams = _streams(bag, config)
        geometry = Geometry(bag, streams.info)
        copy = LabeledBag(labeled, bag, len(predictor.classes)) if labeled else None
        start(streams, min(bag.topics[name].count for name in (streams.rgb, streams.depth)))
    folder = config.truth if isinstance(config.truth, TruthFolder) else None
    source = Source(path, streams, config.pairing, folder)
    tally = Tally(len(predictor.classes), geometry, truthful=bool(folder or streams.truth))
    clock = _Clock(predictor)
    with copy or nullcontext():
        for event in prefetched(source.events(everything=copy is not None)):
            if isinstance(event, BagMessage):
                copy.copy(event)
            elif isinstance(event, Truth):
                tally.truth(event.of(config.truth_groups) if config.truth_groups else event)
            else:
                prediction = clock.predict(event)
                tally.frame(event, prediction.labels)
                if copy:
                    copy.add(event, prediction)
                advance()
    report = {
        "bag": str(path),
        "error": None if clock.frame_ms else _why_nothing(source.pairing, streams, config.pairing.slop_ns),
        "damage": source.damage,
        "streams": {**vars(streams), "truth": str(folder.path) if folder else streams.truth},
        "frames": len(clock.frame_ms),
        "pairing": source.pairing.summary(),
        "scores": bag_results.scores(tally.confusion, predictor.classes, tally.scored),
        "flicker": {
            **{kind: bag_results.flicker(change) for kind, change in tally.flicker.items()},
            "why_not_warped": geometry.missing,
        },
        "series": tally.series,
        "timing": clock.summary(),
    }
    return Evaluation(report, tally.gallery)


def _streams(bag: Bag, config: EvaluationConfig) -> Streams:
    given = config.truth if isinstance(config.truth, str) and config.truth != NO_TRUTH else None
    streams = choose(bag, rgb=config.rgb, depth=config.depth, truth=given)
    if config.truth == NO_TRUTH or isinstance(config.truth, TruthFolder):
        return replace(streams, truth=None)
    return streams


class _Clock:
    """Times the network; the first image of a size, for which an engine may be built, is labeled before its time."""

    def __init__(self, predictor: Predictor):
        self.frame_ms: list[float] = []
        self._predictor, self._sizes, self._preparation = predictor, set(), 0.0
        self._began = perf_counter()

    def predict(self, frame: Frame) -> Prediction:
        if frame.depth.shape not in self._sizes:
            self._sizes.add(frame.depth.shape)
            before = perf_counter()
            self._predictor.predict(frame.rgb, frame.depth)
            self._preparation += perf_counter() - before
        before = perf_counter()
        prediction = self._predictor.predict(frame.rgb, frame.depth)
        self.frame_ms.append(1000 * (perf_counter() - before))
        return prediction

    def summary(self) -> dict[str, Any]:
        seconds = perf_counter() - self._began - self._preparation
        return bag_results.timing(self.frame_ms, seconds, self._preparation)


def _why_nothing(pairing: Pairing, streams: Streams, slop_ns: int) -> str:
    """Why a bag that could be read gave no frame."""
    if pairing.malformed:
        return f"none of the {pairing.malformed} pairs could be used, the first because of {pairing.reasons[0]}"
    text = f"no pair: {len(pairing.rgb)} images on {streams.rgb}, {len(pairing.depth)} on {streams.depth}"
    for topic, stamps in ((streams.rgb, pairing.rgb), (streams.depth, pairing.depth)):
        if wrong := fault(stamps):
            return f"{text}; the stamps of {topic} {wrong}"
    if pairing.late:
        return f"{text}; {lateness(median_ms(pairing.late))}: record the bag anew, or put its images in order of stamps"
    if not pairing.rgb or not pairing.depth:
        return text
    offset = pairing.helpful_offset_ns(slop_ns)
    if offset is None:
        return (
            f"{text}; no two stamps are within --slop ({slop_ns / 1e6:g} ms), and no --stamp-offset changes that: "
            f"depth is {pairing.offset_ns() / 1e6:+.1f} ms from the nearest color image (median)"
        )
    return (
        f"{text}; depth is {offset / 1e6:+.1f} ms from the nearest color image (median): "
        f"try --stamp-offset {-offset / 1e9:.12g}, or a larger --slop"
    )
