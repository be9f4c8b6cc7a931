# SPDX-License-Identifier: Apache-2.0
"""Random image messages, valid or damaged, all from one seed."""

from __future__ import annotations

import struct
from array import array
from types import SimpleNamespace

import numpy as np

from cen_ros.messages.images import COLOR_ENCODINGS, DEPTH_ENCODINGS, LABEL_ENCODINGS
from helpers.coded_images import coded, png, png_rows
from helpers.image_messages import random_image

ABSURD_SIZES = (0, 1, 2, 3, 5, 7, 640, 32767, 65536, 2**31 - 1, 2**31, 2**32 - 1)
ENCODINGS = (
    *COLOR_ENCODINGS,
    *DEPTH_ENCODINGS,
    *LABEL_ENCODINGS,
    "",
    "RGB8",
    "nv24",
    "8UC5",
    "99FC1",
    "rgb8\0",
    "日本",
)
FORMATS = (
    "jpeg",
    "png",
    "",
    ";",
    "rgb8; jpeg compressed bgr8",
    "bgr8; png compressed rgb8",
    "bayer_gbrg8; png compressed ",
)
FORMATS += (
    "16UC1; compressedDepth png",
    "32FC1; compressedDepth png",
    "32FC1",
    "16UC1; compressedDepth rvl",
    "h264",
    "日本",
)


class Messages:
    """A source of messages, all from one seed."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def pick(self, choices):
        return choices[int(self.random.integers(len(choices)))]

    def pair(self):
        """A valid color and depth message of one size, raw or compressed."""
        height, width = (2 * int(side) for side in self.random.integers(2, 9, 2))
        color = self._raw(COLOR_ENCODINGS, height, width) if self.pick((0, 1)) else self._color(height, width)
        depth = self._raw(DEPTH_ENCODINGS, height, width) if self.pick((0, 1)) else self._depth(height, width)
        return color, depth, (height, width)

    def _raw(self, encodings, height, width):
        return random_image(
            self.random, self.pick(encodings), height, width, self.pick((0, 0, 1, 5, 16)), self.pick((0, 1))
        )

    def _color(self, height, width):
        pixels = self.random.integers(0, 256, (height, width, self.pick((3, 1)))).astype(np.uint8)
        data = coded(pixels.squeeze(), self.pick(("JPEG", "PNG", "WEBP")))
        return SimpleNamespace(format=self.pick(("jpeg", "", "rgb8; jpeg compressed bgr8")), data=data)

    def _depth(self, height, width):
        data = png(width, height, 16, 0, png_rows(self.random.integers(0, 65536, (height, width)).astype(np.uint16)))
        format_ = self.pick(("png", "16UC1; compressedDepth png", "32FC1; compressedDepth png"))
        header = b"" if format_ == "png" else struct.pack("<iff", 0, 10100, float(self.pick((-1009, 0, 700))))
        return SimpleNamespace(format=format_, data=header + data)

    def damage(self, msg):
        """Spoil up to three things, of which some do no harm."""
        for _ in range(self.pick((1, 1, 2, 3))):
            field = self.pick([name for name in vars(msg) if name != "data"] + ["data"] * 3)
            setattr(msg, field, getattr(self, f"_damaged_{field}")(msg))

    def _damaged_side(self, side):
        return max(0, self.pick((*ABSURD_SIZES, side - 1, side + 1, side // 2, side * 2)))

    def _damaged_width(self, msg):
        return self._damaged_side(msg.width)

    def _damaged_height(self, msg):
        return self._damaged_side(msg.height)

    def _damaged_step(self, msg):
        return self._damaged_side(msg.step)

    def _damaged_encoding(self, msg):
        return self.pick(ENCODINGS)

    def _damaged_format(self, msg):
        return self.pick(FORMATS)

    def _damaged_is_bigendian(self, msg):
        return self.pick((0, 1, 2, 255))

    def _damaged_data(self, msg):
        data, way = bytearray(msg.data), self.pick(("cut", "end", "extend", "flip", "head", "fill", "rubbish"))
        if way in ("cut", "end"):
            return bytes(data[: self.pick((0, 1, len(data) // 2)) if way == "cut" else -self.pick((1, 2, 9))])
        if way == "extend":
            return bytes(data) + self.random.bytes(self.pick((1, 7, 999)))
        if way == "rubbish":
            return self.random.bytes(int(self.random.integers(0, 200)))
        reach = min(len(data), 48 if way == "head" else len(data))
        for at in self.random.integers(0, reach, self.pick((1, 1, 2, 20))) if reach else ():
            data[at] = self.pick((0, 255)) if way == "fill" else data[at] ^ 1 << self.pick(range(8))
        return bytes(data)

    def as_delivered(self, msg):
        """The data as rclpy gives them, as bags do, or as they are."""
        convert = self.pick((bytes, lambda data: array("B", data), lambda data: np.frombuffer(data, np.uint8)))
        return SimpleNamespace(**{**vars(msg), "data": convert(msg.data)})
