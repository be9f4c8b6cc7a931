# SPDX-License-Identifier: Apache-2.0
"""A copy of a bag with what the network says of its images."""

from __future__ import annotations

from pathlib import Path

from cen_model.predictor import Prediction
from cen_model.reporting.visualize import colorize_labels
from cen_ros.bags.reader import Bag, BagMessage
from cen_ros.bags.topics import OUR_OUTPUT
from cen_ros.bags.writer import BagWriter
from cen_ros.evaluation.source import Frame

LABEL, COLOR, CONFIDENCE = (f"/{OUR_OUTPUT}/{name}" for name in ("label", "color", "confidence"))


class LabeledBag:
    """Writes the messages of a bag as they are, and label (mono8), color (rgb8) and confidence (mono8) of each frame.

    The new images have the header of their color image, and are recorded at its time. A context manager; the new bag
    is there once it is left without an error.

    Args:
        path: of the new bag, which must not exist.
        source: the bag that is copied.
        classes: how many the network tells.

    Raises:
        ValueError: the path exists, or the bag has these topics already.
    """

    def __init__(self, path: Path, source: Bag, classes: int):
        if taken := sorted({LABEL, COLOR, CONFIDENCE} & source.topics.keys()):
            raise ValueError(
                f"{path}: cannot be written, the bag has {', '.join(taken)} already; leave out --write-bag"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        latched = [name for name, topic in source.topics.items() if topic.latched]
        self._writer, self._classes = BagWriter(path, latched=latched, types=source.types), classes

    def __enter__(self) -> LabeledBag:
        self._writer.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.__exit__(*error)

    def copy(self, message: BagMessage) -> None:
        """Write a message of the bag, byte by byte."""
        self._writer.add_raw(message.topic, message.type, message.raw, message.receive_ns)

    def add(self, frame: Frame, prediction: Prediction) -> None:
        """Write what the network says of a frame."""
        images = {
            LABEL: (prediction.labels, "mono8"),
            COLOR: (colorize_labels(prediction.labels, self._classes), "rgb8"),
            CONFIDENCE: (prediction.confidence, "mono8"),
        }
        for topic, (pixels, encoding) in images.items():
            self._writer.add_image(topic, pixels, encoding, frame.header, frame.receive_ns)
