# SPDX-License-Identifier: Apache-2.0
"""Frames whose labels are coarser than the network's classes: each label is one of several classes, and it is not known
which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cen_model.classes import NYU13, NYU13_OF_NYU40, NYU40, LabelSet, merging
from cen_model.data.altered import Altered, Frame
from cen_model.data.dataset import Dataset


class CoarseLabels(Altered):
    """A dataset with NYU13's classes, read as one with a finer label set.

    A class that is one of the finer set's becomes it. Any other becomes an id behind the finer classes, which
    `labels.sets` tells the members of; `cen_model.losses.segmentation` takes their probabilities together.

    Args:
        dataset: its frames have NYU13's labels.
        fine: NYU40's labels, SUN37's or NYU13's own.

    Raises:
        ValueError: NYU13's classes are not made of the finer set's.
    """

    def __init__(self, dataset: Dataset, fine: LabelSet) -> None:
        self._table, labels = _with_sets(fine)
        super().__init__(dataset, self._finer, labels)

    def _finer(self, _: int, frame: Frame) -> Frame:
        return frame | {"label": self._table[frame["label"]]}


def _with_sets(fine: LabelSet) -> tuple[np.ndarray, LabelSet]:
    """Return a table from NYU13's ids to a finer set's, and the finer set with the ids that stand for several."""
    ids, sets = [], []
    for name in NYU13:
        members = _members(name, fine)
        ids.append(members[0] if len(members) == 1 else len(fine.names) + len(sets))
        sets += [members] if len(members) > 1 else []
    return merging(ids), replace(fine, sets=tuple(sets))


def _members(name: str, fine: LabelSet) -> tuple[int, ...]:
    if fine.names == NYU13:
        return (NYU13.index(name),)
    if fine.names != NYU40[: len(fine.names)]:
        raise ValueError(
            f"data.with_synthetic: synthetic scenes have the 13 classes of NYUDv2, and the data's {len(fine.names)} "
            f"({', '.join(fine.names[:4])}, …) are neither these nor NYUDv2's 40; leave the key out"
        )
    return tuple(k for k in range(len(fine.names)) if NYU13[NYU13_OF_NYU40[k]] == name)
