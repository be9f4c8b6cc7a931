# SPDX-License-Identifier: Apache-2.0
"""Types of the messages with images, and what the words of a topic's name tell of them."""

from __future__ import annotations

import re

COMPRESSED_DEPTH = "/compressedDepth"
IMAGE, COMPRESSED, INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))

# Words of a name are what stands between its separators; of `depth_to_color` the camera that is looked at from counts.
DEPTH = {"depth", "disparity", "stereo"}
TRUTH = {"label", "labels", "semantic", "semantics", "seg", "segmentation", "truth", "gt", "groundtruth"}
OTHER = {*("ir", "infra", "infra1", "infra2", "infrared", "thermal", "normals"), *("mask", "confidence", "overlay")}
COLOR = {"color", "colour", "rgb"}
REGISTERED = {"aligned", "registered", "registration"}


def words_of(name: str) -> set[str]:
    name = name.removesuffix(COMPRESSED_DEPTH)  # the transport, which image_transport offers for color as well
    name = re.sub(r"_to_[a-z]+", "", re.sub(r"([a-z])([A-Z])", r"\1_\2", name))
    return set(re.split(r"[/_\W]+", name.lower())) - {""}


def looks_like_depth(name: str) -> bool:
    """Whether a name tells of depth; that of one eye of a stereo camera does not."""
    words = words_of(name)
    return "depth" in words or (bool(words & DEPTH) and not words & {"left", "right"})
