# SPDX-License-Identifier: Apache-2.0
"""How well the streams of a bag fit together, in counts and stamp differences."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np

REASONS = 10
"""Reasons of unusable images that are told."""
BINS = 21
"""Of the histogram of stamp differences."""


def stamps() -> array:
    """An empty list of stamps in ns that takes 8 bytes for each."""
    return array("q")


@dataclass
class Pairing:
    """Counts while a bag is read; stamps in ns."""

    rgb: array = field(default_factory=stamps)
    """Stamps of all color images"""
    depth: array = field(default_factory=stamps)
    differences: array = field(default_factory=stamps)
    """Depth minus color, of the pairs, as the camera stamped them"""
    late: array = field(default_factory=stamps)
    """How long after the color image of its stamp each depth image came that came too late for a pair, ns; negative
    where color came after depth"""
    truth: int = 0
    """True label images"""
    truth_exact: int = 0
    truth_near: int = 0
    """Those that belong to a color image by an equal and by the nearest stamp"""
    truth_differences: array = field(default_factory=stamps)
    truth_late: array = field(default_factory=stamps)
    """The same as `late`, of truth after color"""
    skipped: int = 0
    """Pairs that were left out on purpose"""
    malformed: int = 0
    """Pairs lost to an unusable image"""
    truth_malformed: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, error: ValueError, stamp_ns: int) -> None:
        """Note why an image could not be used; the first ones are kept."""
        if len(self.reasons) < REASONS:
            self.reasons.append(f"stamp {stamp_ns / 1e9:.9f}: {error}")

    def offset_ns(self) -> int | None:
        """Median of (nearest depth stamp - color stamp) over all color images, paired or not."""
        if not self.rgb or not self.depth:
            return None
        return int(np.median(self._to_nearest(0)))

    def helpful_offset_ns(self, slop_ns: int) -> int | None:
        """How much later depth's clock is, if that is why they do not pair; else None.

        Taken away from depth's stamps it brings at least every second color image within `slop_ns` of a depth image.
        """
        if not self.rgb or not self.depth:
            return None
        for offset in (self.offset_ns(), self.depth[0] - self.rgb[0]):  # the latter where the clocks are far apart
            if np.mean(np.abs(self._to_nearest(offset)) <= slop_ns) >= 0.5:
                return offset
        return None

    def _to_nearest(self, offset_ns: int) -> np.ndarray:
        """Return (nearest depth stamp - `offset_ns` - color stamp) of all color images."""
        depth, rgb = np.sort(np.array(self.depth)) - offset_ns, np.array(self.rgb)
        after = np.searchsorted(depth, rgb).clip(0, len(depth) - 1)
        around = np.stack([depth[np.maximum(after - 1, 0)], depth[after]]) - rgb
        return np.where(np.abs(around[0]) <= np.abs(around[1]), *around)

    def summary(self) -> dict[str, Any]:
        """Plain values for a report; times in ms."""
        pairs = len(self.differences)
        offset = self.offset_ns()
        return {
            "messages": {"rgb": len(self.rgb), "depth": len(self.depth), "truth": self.truth},
            "pairs": pairs,
            "unpaired": {"rgb": len(self.rgb) - pairs, "depth": len(self.depth) - pairs},
            "skipped": self.skipped,
            "malformed": {"frames": self.malformed, "truth": self.truth_malformed, "reasons": self.reasons},
            "difference_ms": _distribution(self.differences),
            "late_ms": median_ms(self.late),
            "histogram": _histogram(self.differences),
            "offset_ms": None if offset is None else offset / 1e6,
            "truth": {
                "equal_stamp": self.truth_exact,
                "nearest_stamp": self.truth_near,
                "without_image": self.truth - self.truth_exact - self.truth_near,
                "difference_ms": _distribution(self.truth_differences),
                "late_ms": median_ms(self.truth_late),
            },
        }


def median_ms(values: array) -> float | None:
    """The median of values in ns, in ms; None of none."""
    return float(np.median(values)) / 1e6 if values else None


def _distribution(differences: array) -> dict[str, float] | None:
    """Of signed differences their median; of their size median, 95th percentile and maximum. None of none."""
    if not differences:
        return None
    values = np.array(differences) / 1e6
    size = np.abs(values)
    return {
        "signed_median": float(np.median(values)),
        "median": float(np.median(size)),
        "p95": float(np.percentile(size, 95)),
        "max": float(size.max()),
    }


def _histogram(differences: array) -> dict[str, list] | None:
    """Edges of the bins in ms, and how many differences are in each; None of none."""
    if not differences:
        return None
    counts, edges = np.histogram(np.array(differences) / 1e6, BINS)
    return {"edges_ms": edges.tolist(), "counts": counts.tolist()}
