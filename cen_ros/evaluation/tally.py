# SPDX-License-Identifier: Apache-2.0
"""Counts of one bag: agreement with the truth, and change from frame to frame.

Axes: H height, W width, K classes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cen_model.evaluation.metrics import Scores, confusion_matrix
from cen_ros.evaluation.camera_poses import Geometry
from cen_ros.evaluation.flicker import Change, View, plain, warped
from cen_ros.evaluation.gallery import Gallery, Picture
from cen_ros.evaluation.source import Frame, Truth
from cen_ros.segmentation.waiting import Waiting

LONGEST_GAP_NS = 1_000_000_000
"""Frames that are farther apart in time, or in the wrong order, are not compared."""


class Tally:
    """Takes frames with their labels and truths, in any order of the two, and counts.

    Args:
        classes: K.
        geometry: where the camera was.
        truthful: whether truth is to come; the worst frames are then those of the lowest IoU, else of the most flicker.
    """

    def __init__(self, classes: int, geometry: Geometry, truthful: bool):
        self.confusion = np.zeros((classes, classes + 1), np.int64)
        self.flicker = {"plain": Change(0, 0, 0), "warped": Change(0, 0, 0)}
        self.series: dict[str, list[Any]] = {name: [] for name in ("stamp_ns", "iou", *self.flicker)}
        """By frame: its stamp, its mean IoU and the shares of changed pixels, None where there is none"""
        self.scored = 0
        self.gallery = Gallery()
        self._classes, self._geometry, self._truthful = classes, geometry, truthful
        self._frames, self._truths = Waiting(), Waiting()  # of each those whose counterpart is still to come
        self._before: tuple[Picture, tuple | None] | None = None

    def frame(self, frame: Frame, labels: np.ndarray) -> None:
        """Take a frame with its labels uint8 (H, W). Raises ValueError where its truth does not fit."""
        picture = Picture(len(self.series["stamp_ns"]), frame.stamp_ns, frame.rgb, frame.depth, labels)
        for name, values in self.series.items():
            values.append(frame.stamp_ns if name == "stamp_ns" else None)
        self._compare(picture, frame.header.frame_id)
        self.gallery.show(picture)
        if not self._truthful and picture.flicker is not None:
            self.gallery.judge(picture.flicker, picture)
        if truth := self._truths.pop(frame.stamp_ns):
            self._score(picture, truth)
        else:
            size = frame.rgb.nbytes + frame.depth.nbytes + labels.nbytes
            self._frames.put(frame.stamp_ns, picture, size)

    def truth(self, truth: Truth) -> None:
        """Take the truth of a frame. Raises ValueError where it does not fit."""
        if picture := self._frames.pop(truth.stamp_ns):
            self._score(picture, truth)
        else:
            self._truths.put(truth.stamp_ns, truth, truth.labels.nbytes)

    def _score(self, picture: Picture, truth: Truth) -> None:
        confusion = confusion_matrix(truth.labels, picture.label, self._classes, str(truth))
        self.confusion += confusion
        self.scored += 1
        picture.truth = truth.labels
        iou = Scores.of(confusion).mean_iou
        if not math.isnan(iou):
            picture.iou = self.series["iou"][picture.index] = iou
            self.gallery.judge(-iou, picture)

    def _compare(self, picture: Picture, frame_id: str) -> None:
        """Count what changed since the frame before."""
        camera = self._geometry.camera(frame_id, picture.stamp_ns, picture.label.shape)
        before, self._before = self._before, (picture, camera)
        if before is None or before[0].label.shape != picture.label.shape:
            return
        if not 0 < picture.stamp_ns - before[0].stamp_ns <= LONGEST_GAP_NS:
            return
        changes = {"plain": plain(before[0].label, picture.label)}
        if camera is not None and before[1] is not None:
            views = [View(each.label, each.depth, *place) for each, place in (before, self._before)]
            changes["warped"] = warped(*views)
        for name, change in changes.items():
            self.flicker[name] = Change(*np.add(self.flicker[name], change).tolist())
            if change.compared:
                picture.flicker = self.series[name][picture.index] = change.changed / change.compared
