# SPDX-License-Identifier: Apache-2.0
"""The names and shapes of the paper's published segmentation checkpoints, in our terms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from cen_model.config import ExchangeConfig, SegmentationConfig

# Their decoder's names, coarsest level first and counted from 1, against ours, counted from 0.
_DECODER = (
    (r"p_ims1d2_outl(\d)_dimred", "levels.{0}.reduce"),
    (r"adapt_stage(\d)_b\.0\.(\d)_conv_relu_varout_dimred", "levels.{0}.adapt.{1}.conv2"),
    (r"adapt_stage(\d)_b\.0\.(\d)_conv", "levels.{0}.adapt.{1}.conv1"),
    (r"adapt_stage(\d)_b2_joint_varout_dimred", "levels.{0}.joint"),
    (r"mflow_conv_g(\d)_pool\.0\.(\d)_outvar_dimred", "levels.{0}.pool.convs.{1}"),
    (r"mflow_conv_g(\d)_b\.0\.(\d)_conv_relu_varout_dimred", "levels.{0}.refine.{1}.conv2"),
    (r"mflow_conv_g(\d)_b\.0\.(\d)_conv", "levels.{0}.refine.{1}.conv1"),
    (r"mflow_conv_g(\d)_b3_joint_varout_dimred", "levels.{0}.out"),
    (r"clf_conv", "classifier"),
)

# Blocks of the third stage tell the depth of a bottleneck ResNet.
_DEPTHS = {6: "resnet50", 23: "resnet101", 36: "resnet152"}


def from_published(
    weights: Mapping[str, Tensor], classes: Sequence[str] | None = None
) -> tuple[SegmentationConfig, dict[str, Tensor]]:
    """Read a published state dict.

    Args:
        weights: tensors by their published names, without a leading "module.".
        classes: class names; numbered where not given.

    Returns:
        The configuration read off the shapes (exchange on all channels, as the published code does), and the tensors
        under our names.

    Raises:
        ValueError: a name or depth that no published checkpoint has, or the wrong number of class names.
    """
    modalities = sum(bool(re.fullmatch(r"bn1\.bn_\d+\.weight", name)) for name in weights)
    blocks = len({name.split(".")[1] for name in weights if name.startswith("layer3.")})
    if blocks not in _DEPTHS or not 1 <= modalities <= 2 or "clf_conv.module.weight" not in weights:
        raise ValueError(
            "not a published CEN segmentation checkpoint: expected a ResNet-50/101/152 RefineNet of rgb and depth, "
            f"got {blocks} blocks in layer3, {modalities} modalities, names such as {list(weights)[:3]}"
        )
    num_classes = weights["clf_conv.module.weight"].shape[0]
    classes = tuple(classes or (str(i) for i in range(num_classes)))
    if len(classes) != num_classes:
        raise ValueError(f"the checkpoint has {num_classes} classes, {len(classes)} names were given")
    config = SegmentationConfig(
        modalities=("rgb", "depth")[:modalities],
        classes=classes,
        encoder=_DEPTHS[blocks],
        exchange=ExchangeConfig(scope="all") if modalities > 1 else None,
    )
    return config, {our_name(name, modalities): tensor for name, tensor in weights.items()}


def our_name(name: str, modalities: int = 2) -> str:
    """Our name of a published tensor. Raises ValueError for one that does not occur in their networks."""
    if name == "alpha":
        return "ensemble.alpha"
    name = name.replace(".module.", ".")
    if name.startswith(("conv1.", "bn1.", "layer")):
        # Their four layers are the ends of our four stages; what comes before belongs to the first.
        stage = int(name[len("layer")]) - 1 if name.startswith("layer") else 0
        return f"encoder.stages.{stage}." + re.sub(r"\.bn_(\d+)\.", r".norms.\1." if modalities > 1 else ".", name)
    layer, _, kind = name.rpartition(".")
    for pattern, ours in _DECODER:
        if match := re.fullmatch(pattern, layer):
            return f"decoder.{ours.format(*(int(i) - 1 for i in match.groups()))}.{kind}"
    raise ValueError(f"{name!r} is not a tensor of the published segmentation networks")
