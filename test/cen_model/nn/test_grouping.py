# SPDX-License-Identifier: Apache-2.0
"""Groups of classes against a loop over pixels and classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cen_model.classes import NYU13_OF_NYU40
from cen_model.nn.grouping import resized_groups, sum_groups, to_labels

SIZE = (20, 28)
IDS = {"nyu13": NYU13_OF_NYU40, "void": (2, 255, 0, 255, 1, 0), "one": (0, 0, 0), "all but one void": (255, 255, 0)}


def slowly(logits_Khw, ids):
    """Labels (H, W), and the probabilities (G, H, W) of all that pixels may become."""
    size = {"size": SIZE, "mode": "bilinear", "align_corners": False}
    logits = F.interpolate(torch.from_numpy(logits_Khw)[None].double(), **size)[0].numpy()
    outcomes = sorted(set(ids))
    labels, sums = np.zeros(SIZE, np.uint8), np.zeros((len(outcomes), *SIZE))
    for place in np.ndindex(SIZE):
        exponentials = np.exp(logits[(slice(None), *place)])
        shares = exponentials / exponentials.sum()
        for share, label in zip(shares, ids, strict=True):
            sums[(outcomes.index(label), *place)] += share
        labels[place] = outcomes[sums[(slice(None), *place)].argmax()]
    return labels, sums


@pytest.mark.parametrize("name", IDS)
def test_probabilities_are_summed_by_group_at_the_size_of_the_labels(name):
    ids = IDS[name]
    logits = (8 * np.random.default_rng(0).standard_normal((len(ids), 5, 7))).astype(np.float32)
    labels, sums = slowly(logits, ids)
    groups = resized_groups(torch.from_numpy(logits)[None], ids, SIZE)
    np.testing.assert_array_equal(to_labels(groups.argmax(1), ids)[0].numpy(), labels)
    np.testing.assert_allclose((groups / groups.sum(1, keepdim=True))[0].numpy(), sums, atol=1e-5)
    whole = F.interpolate(torch.from_numpy(logits)[None], size=SIZE, mode="bilinear").softmax(1)
    np.testing.assert_allclose(sum_groups(whole, ids)[0].numpy(), sums, atol=1e-5)
    assert set(np.unique(labels)) <= set(ids) and (name == "one" or len(np.unique(labels)) > 1)


def test_many_unlikely_classes_outvote_the_likeliest():
    """What the labels of groups are not: the group of the likeliest class."""
    probabilities = torch.tensor([0.4, 0.3, 0.3]).view(1, 3, 1, 1)
    assert to_labels(sum_groups(probabilities, (0, 1, 1)).argmax(1), (0, 1, 1)).item() == 1
    assert to_labels(sum_groups(probabilities, (0, 255, 255)).argmax(1), (0, 255, 255)).item() == 255


def test_half_precision_and_large_logits_are_no_harm():
    logits = torch.tensor([60.0, 0.0, -60.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2).half()
    groups = resized_groups(1000 * logits, (0, 1, 1), SIZE)
    assert groups.dtype == torch.float32 and groups.isfinite().all() and (groups.argmax(1) == 0).all()
