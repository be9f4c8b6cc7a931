# SPDX-License-Identifier: Apache-2.0
"""Fusion by alignment: multiple-kernel maximum mean discrepancy between modalities (paper § 3.1 and appendix B).

Axes: M modalities, B batch, C channels, H W pixels, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNELS = 11
_GRID = 4


def mk_mmd(x_NC: Tensor, y_NC: Tensor, kernels: int = KERNELS) -> Tensor:
    """Squared MMD between two sets of samples (Gretton et al. 2012), the biased estimate: a scalar ≥ 0.

    The kernel is the mean of Gaussian ones whose bandwidths are powers of two around the mean squared distance.
    """
    # Near 0 the loss is a small difference of means, which half precision rounds away.
    samples = torch.cat([x_NC, y_NC]).float()
    # Broadcasting would keep N² C numbers; matrix products would not give exactly 0 between equal samples.
    distances = torch.cdist(samples, samples, compute_mode="donot_use_mm_for_euclid_dist").square()
    count = len(samples)
    # The bandwidth is a constant of the loss: otherwise spreading all samples would reduce it.
    bandwidth = (distances.detach().sum() / (count * (count - 1))).clamp_min(torch.finfo(distances.dtype).eps)
    factors = [2.0 ** (i - kernels // 2) for i in range(kernels)]
    kernel = sum(torch.exp(-distances / (bandwidth * factor)) for factor in factors) / kernels
    n = len(x_NC)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


class Align(nn.Module):
    """Alignment loss at one stage: an embedding shared by the modalities, and the MK-MMD between each two of them.

    The samples are the embedding's means over a 4×4 grid of every image, so that one image has more than one. The
    features themselves are left as they are.

    Args:
        channels: C of the stage; the embedding has 10 C² weights (Table 2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
        )

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """M features (B, C, H, W) → the loss, summed over pairs of modalities."""
        cells = [F.adaptive_avg_pool2d(self.embedding(part), _GRID) for part in parts]
        samples = [cell.permute(0, 2, 3, 1).flatten(0, 2) for cell in cells]
        return sum(mk_mmd(x, y) for x, y in combinations(samples, 2))
