# SPDX-License-Identifier: Apache-2.0
"""Pairs label images with the truth by their stamp: mIoU, losses, latency, and pictures of what was seen.

The names of the classes are those of the node's class map. Without truth (a real camera, a recording) the pictures and
the latency remain:

    python -m cen_ros.tools.score --ros-args -p truth:=false -p frames:=100 -p output:=seen

Of a bag that is replayed the latency is counted from the arrival of the color image (`latency_since:=image`), for its
stamps are old, and depth is left out (`depth:=false`) where its stamps are its own.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.task import Future
from sensor_msgs.msg import Image
from std_msgs.msg import String

from cen_model.evaluation.metrics import Scores, confusion_matrix
from cen_model.evaluation.results import defined
from cen_model.utils.files import write_json_atomically
from cen_ros.context import running
from cen_ros.declaration import declared
from cen_ros.messages.images import image_to_array, label_to_array
from cen_ros.segmentation.outputs import LATCHED
from cen_ros.segmentation.sync import stamp_ns
from cen_ros.tools.camera_frames import DEPTH_TOPIC, RGB_TOPIC, TRUTH_TOPIC
from cen_ros.tools.demo_pictures import KEPT, save_pictures
from cen_ros.tools.synthetic_camera import RELIABLE

LABEL_TOPIC = "cen_segmentation/label"
CLASSES_TOPIC = "cen_segmentation/class_map"
LISTENING = "everybody listens to the camera"
"""Said once; a launch file may wait for it."""
PENDING = 150
"""Frames that may wait for what is missing; the older ones of a network that is slower than the camera are let go."""


class Score:
    """Images by stamp, and how well the labels among them agree with the truth."""

    def __init__(
        self, kinds: tuple[str, ...], classes: tuple[str, ...], keep_every: int = 1, latency_since: str = "stamp"
    ):
        """
        `kinds`: those of rgb, depth, truth, label that make a frame; every n-th whole frame is kept in `kept`. Latency
        counts from the `stamp`, or from the arrival of the RGB `image`.
        """
        self.classes, self.keep_every, self.latency_since = classes, keep_every, latency_since
        self.confusion = np.zeros((len(classes), len(classes) + 1), np.int64)
        self.stamps: dict[str, set[int]] = {kind: set() for kind in kinds}
        self.latencies_ms: list[float] = []
        self.kept: list[dict[str, np.ndarray]] = []
        self.whole = 0
        self._partial: dict[int, dict[str, np.ndarray]] = {}
        self._begin: dict[int, int] = {}

    def add(self, kind: str, stamp: int, arrival: int, image: np.ndarray) -> None:
        """
        Take an image with its stamp and time of arrival in ns; one that came before is ignored. Raises ValueError where
        the truth does not fit the labels.
        """
        if stamp in self.stamps[kind]:
            return
        self.stamps[kind].add(stamp)
        frame = self._partial.setdefault(stamp, {})
        frame[kind] = image
        if kind == "rgb":
            self._begin[stamp] = arrival
        begin = stamp if self.latency_since == "stamp" else self._begin.get(stamp)
        if kind == "label" and begin is not None:
            self.latencies_ms.append((arrival - begin) / 1e6)
        if kind in ("truth", "label") and {"truth", "label"} <= frame.keys():
            self.confusion += confusion_matrix(frame["truth"], frame["label"], len(self.classes))
        if len(frame) == len(self.stamps):
            del self._partial[stamp]
            if self.whole % self.keep_every == 0:
                self.kept.append(frame)
            self.whole += 1
        elif len(self._partial) > PENDING:
            self._partial.pop(next(iter(self._partial)))

    def result(self) -> dict:
        """
        Plain values: counts of stamps (`strays`: label stamps that no camera image has), `iou` by class and `miou`
        (None where undefined), `latency_ms` to the arrival of the labels: median, p95 (None without labels).
        """
        sent = self.stamps["rgb"] | self.stamps.get("truth", set())  # either may be lost, and truth be rare
        scores = Scores.of(self.confusion)
        cameras = [self.stamps[kind] for kind in ("rgb", "depth") if kind in self.stamps]
        percentile = partial(np.percentile, self.latencies_ms) if self.latencies_ms else lambda q: None
        return {
            "sent": len(sent),
            "received": len(set.intersection(*cameras)),
            "labeled": len(self.stamps["label"] & sent),
            "strays": len(self.stamps["label"] - sent),
            "iou": {name: defined(iou) for name, iou in zip(self.classes, scores.iou, strict=True)},
            "miou": defined(scores.mean_iou),
            "latency_ms": {"median": percentile(50), "p95": percentile(95)},
        }


def in_words(result: dict) -> str:
    """A result in one line."""
    miou = "" if result["miou"] is None else f"mIoU {result['miou']:.3f}, "
    median, p95 = result["latency_ms"].values()
    latency = "no labels" if median is None else f"latency {median:.0f} ms median, {p95:.0f} ms p95"
    return f"{miou}{result['labeled']} of {result['sent']} frames labeled, {latency}"


class Scorer(Node):
    """
    Listens to a camera and to the segmentation node; `done` is set once `frames` frames are whole, or nothing has
    come for `patience` seconds. The camera is subscribed to only once the node has told its classes, so that a camera
    that waits for its subscribers starts when everybody listens; then that is said, for those who start the camera.
    An image that cannot be used is left out, with a warning.
    """

    def __init__(self) -> None:
        super().__init__("scorer")
        self.frames = declared(self, "frames", 300)
        self.patience = declared(self, "patience", 5.0)
        self.output = Path(declared(self, "output", "demo"))
        self.score: Score | None = None
        wanted = {kind: declared(self, kind, True) for kind in ("depth", "truth")}
        kinds = tuple(kind for kind in ("rgb", "depth", "truth", "label") if wanted.get(kind, True))
        since = declared(self, "latency_since", "stamp")
        if since not in ("stamp", "image"):
            raise ValueError(f"parameter latency_since: expected stamp or image, got {since!r}")
        self._score = partial(Score, kinds, keep_every=max(1, self.frames // KEPT), latency_since=since)
        self.done = Future()
        self._quiet = self.create_timer(self.patience, self._give_up)
        self._quiet.cancel()
        self._listen("label", LABEL_TOPIC, RELIABLE)
        if wanted["truth"]:
            self._listen("truth", TRUTH_TOPIC, RELIABLE)
        self.create_subscription(String, CLASSES_TOPIC, self._begin, LATCHED)

    def _listen(self, kind: str, topic: str, qos: QoSProfile) -> None:
        self.create_subscription(Image, topic, partial(self._take, kind), qos)

    def _begin(self, message: String) -> None:
        """The first class map is the one that counts."""
        if self.score is not None:
            return
        self.score = self._score(tuple(entry["name"] for entry in json.loads(message.data)["classes"]))
        self._listen("rgb", RGB_TOPIC, qos_profile_sensor_data)
        if "depth" in self.score.stamps:
            self._listen("depth", DEPTH_TOPIC, qos_profile_sensor_data)
        self._search = self.create_timer(0.1, self._look_for_listeners)

    def _look_for_listeners(self) -> None:
        """Besides us, the network listens to color."""
        if self.count_subscribers(self.resolve_topic_name(RGB_TOPIC)) >= 2:
            self._search.cancel()
            self.get_logger().info(LISTENING)

    def _take(self, kind: str, message: Image) -> None:
        if self.score is None:
            return
        arrival = self.get_clock().now().nanoseconds
        stamp = stamp_ns(message.header)
        self._quiet.reset()
        try:
            image = (label_to_array if kind in ("truth", "label") else image_to_array)(message)
            self.score.add(kind, stamp, arrival, image)
        except ValueError as error:
            self.get_logger().warning(f"{kind} of stamp {stamp / 1e9:.9f}: {error}", throttle_duration_sec=5.0)
        if self.score.whole >= self.frames and not self.done.done():
            self.done.set_result(None)

    def _give_up(self) -> None:
        self.get_logger().warning(f"nothing came for {self.patience} s; {self.score.whole} of {self.frames} are whole")
        self._quiet.cancel()
        if not self.done.done():
            self.done.set_result(None)


def main() -> None:
    """The node `scorer`: writes score.json, frames.png and demo.gif into the folder `output`, then ends."""
    with running():
        try:
            scorer = Scorer()
        except ValueError as error:
            sys.exit(f"scorer: {error}")
        rclpy.spin_until_future_complete(scorer, scorer.done)
        if not scorer.done.done():  # ROS was shut down
            return
        result = scorer.score.result()
        scorer.get_logger().info(in_words(result))
        write_json_atomically(scorer.output / "score.json", result)
        save_pictures(scorer.output, scorer.score.kept, scorer.score.classes)


if __name__ == "__main__":
    main()
