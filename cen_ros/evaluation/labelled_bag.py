# SPDX-License-Identifier: Apache-2.0
"""A copy of a bag with what the network says of its images.

Axes: H height, W width.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from rosbags.typesys import TypesysError

from cen_model.predictor import Prediction
from cen_model.visualize import colorize_labels
from cen_ros.bags.reader import BagMessage
from cen_ros.bags.topics import IMAGE, OUR_OUTPUT
from cen_ros.bags.writer import BagWriter
from cen_ros.evaluation.source import Frame
from cen_ros.images import array_to_image

LABEL, COLOR, CONFIDENCE = (f"/{OUR_OUTPUT}/{name}" for name in ("label", "color", "confidence"))


class LabelledBag:
    """Writes the messages of a bag as they are, and label (mono8), colour (rgb8) and confidence (mono8) of each frame.

    The new images have the header of their colour image, and are recorded at its time. A context manager; the bag is
    there once it is left without an error. `left_out` has the topics whose type nobody knows the fields of.

    Args:
        path: of the new bag, which must not exist.
        topics: of the bag that is copied.
        classes: how many the network tells.

    Raises:
        ValueError: the path exists, or the bag has these topics already.
    """

    def __init__(self, path: Path, topics: Collection[str], classes: int):
        if taken := sorted({LABEL, COLOR, CONFIDENCE} & set(topics)):
            raise ValueError(
                f"{path}: cannot be written, the bag has {', '.join(taken)} already; leave out --write-bag"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self.left_out: set[str] = set()
        self._writer, self._classes = BagWriter(path), classes

    def __enter__(self) -> LabelledBag:
        self._writer.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.__exit__(*error)

    def copy(self, message: BagMessage) -> None:
        """Write a message of the bag, byte by byte."""
        if message.topic in self.left_out:
            return
        try:
            self._writer.add_raw(message.topic, message.type, message.raw, message.receive_ns)
        except TypesysError:
            self.left_out.add(message.topic)

    def add(self, frame: Frame, prediction: Prediction) -> None:
        """Write what the network says of a frame."""
        self._image(LABEL, prediction.labels, "mono8", frame)
        self._image(COLOR, colorize_labels(prediction.labels, self._classes), "rgb8", frame)
        self._image(CONFIDENCE, prediction.confidence, "mono8", frame)

    def _image(self, topic: str, pixels_HW: np.ndarray, encoding: str, frame: Frame) -> None:
        message = array_to_image(pixels_HW, encoding, frame.header, SimpleNamespace)
        message.data = np.frombuffer(message.data, np.uint8)  # rosbags takes NumPy's arrays alone
        self._writer.add(topic, IMAGE, message, frame.receive_ns)
