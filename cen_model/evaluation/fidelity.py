# SPDX-License-Identifier: Apache-2.0
"""FID and KID of generated images (paper, appendix B), and the Inception network that they look through.

Axes: N images, D features.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
from torchmetrics.image.kid import KernelInceptionDistance

FEATURES = 2048
"""Of the layer pool3, as in the paper."""
SUBSETS, SUBSET_SIZE = 50, 1000
"""KID is the mean over so many random subsets of so many images, or of all where there are fewer: the published
code's."""
URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
FILES = (URL.rpartition("/")[2], "pt_inception-2015-12-05-6726825d.pth")
"""Names under which torch-fidelity and pytorch-fid keep the weights."""


def inception(path: Path | None = None) -> nn.Module:
    """Images uint8 (B, 3, H, W) → features float32 (B, 2048).

    Args:
        path: of the weights; None looks for them where torch.hub keeps its downloads, and else downloads them (91 MB).

    Raises:
        ValueError: there are no weights, or the file holds others; says where they come from.
    """
    path = path or _found() or _downloaded()
    try:
        # torch-fidelity would unpickle whatever is in the file; it gets to see only what is plain tensors.
        torch.load(path, map_location="cpu", weights_only=True)
        return NoTrainInceptionV3("inception-v3-compat", [str(FEATURES)], str(path))
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise ValueError(f"{path}: expected the Inception weights of {URL}: {error}") from error


def distances(real_ND: Tensor, fake_ND: Tensor) -> tuple[float, float]:
    """FID and KID between the features of real and of generated images; lower is better, NaN of fewer than two.

    The paper gives KID times 100. FID grows as N falls: only figures of the same number of images compare.
    """
    size = min(len(real_ND), len(fake_ND))
    if size < 2:
        return float("nan"), float("nan")
    seen = nn.Identity()  # the metrics are given features instead of images
    seen.num_features = real_ND.shape[1]
    fid = FrechetInceptionDistance(seen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features, which are here anyway
        kid = KernelInceptionDistance(seen, subsets=SUBSETS, subset_size=min(SUBSET_SIZE, size))
    for metric in (fid, kid):
        metric.update(real_ND.double(), real=True)
        metric.update(fake_ND.double(), real=False)
        metric.sync_on_compute = False  # every process has the features of all
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean, _ = kid.compute()
    return fid.compute().item(), mean.item()


def _found() -> Path | None:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def _downloaded() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILES[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(path), progress=False)
    except OSError as error:  # URLError among them
        raise ValueError(
            f"FID and KID need Inception's weights. There are none in {path.parent} ({' or '.join(FILES)}), and "
            f"downloading failed ({error}). Fetch {URL} where there is a network and name the file, --inception FILE; "
            "or do without: --fid false"
        ) from error
    return path
