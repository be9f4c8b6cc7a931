# SPDX-License-Identifier: Apache-2.0
"""What was found in a dataset, as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from cen_model.classes import VOID
from cen_model.data.data_config import Split
from cen_model.data.tools import check as checking
from cen_model.utils.files import write_text_atomically


def counts(found: Mapping[Split, checking.Found]) -> Table:
    """Frames, sizes and depth of every split."""
    table = Table("split", "frames", "sizes", "depth 1 / 50 / 99 % (m)", "holes")
    for split, each in found.items():
        depth = checking.depth_statistics(each)
        sizes = ", ".join(f"{size} ({count})" for size, count in each.sizes.most_common(4))
        shown = " / ".join(f"{depth[key]:.2f}" for key in ("1 %", "50 %", "99 %") if key in depth) if depth else "-"
        table.add_row(split, str(each.frames), sizes, shown, f"{depth['holes']:.1%}" if depth else "-")
    return table


def histogram(found: Mapping[Split, checking.Found], names: Sequence[str]) -> Table:
    """The share of every class, and of void, with a bar."""
    table = Table("id", "class", *(f"{split} (% of pixels)" for split in found))
    totals = {split: max(1, int(each.pixels.sum())) for split, each in found.items()}
    for index, name in [*enumerate(names), (VOID, "void")]:
        shares = [100 * each.pixels[index] / totals[split] for split, each in found.items()]
        table.add_row(str(index), name, *(f"{share:5.2f} {'█' * round(share / 2)}" for share in shares))
    return table


def save_json(
    path: Path, found: Mapping[Split, checking.Found], names: Sequence[str], said: Mapping[str, Mapping[str, list[str]]]
) -> None:
    """Figures of every split, and `said` ("problems" and "remarks" by their titles), atomically."""
    splits = {
        split: {
            "frames": each.frames,
            "sizes": dict(each.sizes),
            "pixels": {name: int(each.pixels[i]) for i, name in [*enumerate(names), (VOID, "void")]},
            "depth": checking.depth_statistics(each),
        }
        for split, each in found.items()
    }
    text = json.dumps({"splits": splits, **said}, indent=1)
    write_text_atomically(path, text)
