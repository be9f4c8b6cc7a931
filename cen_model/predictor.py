# SPDX-License-Identifier: Apache-2.0
"""numpy in, numpy out: what the node, the bags and the demo use.

Axes: B = 1, K classes, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cen_model.checkpoint import load
from cen_model.modalities import normalise
from cen_model.network import MultimodalNetwork


@dataclass(frozen=True)
class Prediction:
    """What the network says of one frame.

    Attributes:
        labels: uint8 (H, W) class ids at the size of the RGB image.
    """

    labels: np.ndarray


class Predictor:
    """A network ready for raw sensor arrays.

    Args:
        model: in evaluation mode.
        size: (height, width) that images are resized to for the network; None takes the height that the network was
            trained at, with the image's own proportions, or the image as it is where the network does not say.
        device: "cpu", "cuda", "cuda:1", …; None takes a GPU where there is one.

    Raises:
        ValueError: the network is not one for segmentation, or takes more than rgb and depth.
    """

    def __init__(
        self, model: MultimodalNetwork, size: tuple[int, int] | None = None, device: str | None = None
    ) -> None:
        if model.config.task != "segmentation":
            raise ValueError(f"expected a segmentation network, got one for {model.config.task}: use Translator")
        if not set(model.config.modalities) <= {"rgb", "depth"}:
            raise ValueError(f"expected a network of rgb and depth, got one of {', '.join(model.config.modalities)}")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.size = size
        # Channels-last is the layout that oneDNN and cuDNN compute in.
        self._model = model.to(self.device, memory_format=torch.channels_last)

    @classmethod
    def load(
        cls, path_or_name: str | Path, size: tuple[int, int] | None = None, device: str | None = None
    ) -> Predictor:
        """Read a checkpoint, or shipped weights by their name; see `cen_model.load` for what is raised."""
        return cls(load(path_or_name), size, device)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is an index into them."""
        return self._model.config.classes

    @torch.inference_mode()
    def predict(self, rgb: np.ndarray, depth: np.ndarray) -> Prediction:
        """Label one frame.

        Args:
            rgb: uint8 (H, W, 3).
            depth: (H, W), registered to rgb; uint16 in millimetres or float32 in metres. A hole (0, NaN, inf or
                negative) reaches the network as 0 m, which no surface has; nothing is filled in, and resizing is
                nearest-neighbour so that holes do not bleed into surfaces.

        Raises:
            ValueError: an array of another type or shape.
        """
        _check(rgb, depth)
        size = self.size or self._trained_size(*rgb.shape[:2])
        images = {
            "rgb": _resized(self._tensor(rgb).permute(2, 0, 1), size, "bilinear"),
            "depth": _resized(_metres(self._tensor(depth)).unsqueeze(0), size, "nearest"),
        }
        inputs = {name: normalise(name, images[name]) for name in self._model.config.modalities}
        logits = self._model(inputs)["ensemble"]
        logits = F.interpolate(logits, size=rgb.shape[:2], mode="bilinear", align_corners=False)
        return Prediction(labels=logits.argmax(1)[0].to(torch.uint8).cpu().numpy())

    def _tensor(self, array: np.ndarray) -> Tensor:
        # A message's bytes are read-only, which torch.from_numpy warns of; ascontiguousarray alone would not copy.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def _trained_size(self, height: int, width: int) -> tuple[int, int]:
        trained = self._model.config.input_height or height
        return trained, round(width * trained / height)


def _resized(image_CHW: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    image = image_CHW.float().unsqueeze(0)
    if image.shape[-2:] == tuple(size):
        return image.contiguous(memory_format=torch.channels_last)
    smooth = {"antialias": True, "align_corners": False} if mode == "bilinear" else {}
    return F.interpolate(image, size=tuple(size), mode=mode, **smooth)


def _metres(depth: Tensor) -> Tensor:
    return depth if depth.dtype == torch.float32 else depth.float() / 1000


def _check(rgb: np.ndarray, depth: np.ndarray) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"rgb: expected uint8 (H, W, 3), got {rgb.dtype} {rgb.shape}")
    if depth.dtype not in (np.uint16, np.float32) or depth.shape != rgb.shape[:2]:
        raise ValueError(
            f"depth: expected uint16 millimetres or float32 metres of shape {rgb.shape[:2]}, registered to rgb; "
            f"got {depth.dtype} {depth.shape}"
        )
