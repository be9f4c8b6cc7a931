# SPDX-License-Identifier: Apache-2.0
"""Small plots as SVG, whose colors and fonts are those of the page around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 440, 170
LEFT, RIGHT, TOP, BOTTOM = 56, 6, 22, 24
POINTS = 800
"""Of a curve; where there are more, the largest of each group is drawn."""


def curves(x: Sequence[float], series: Mapping[str, Sequence[float | None]], unit: str, x_unit: str = "s") -> Markup:
    """Values over x, from 0 up; the curves are numbered by class (s0, s1, …), and broken where a value is None."""
    columns = {name: np.array([np.nan if v is None else v for v in values], float) for name, values in series.items()}
    defined = [column[np.isfinite(column)] for column in columns.values()]
    top = max((float(each.max()) for each in defined if each.size), default=0.0) or 1.0
    first, span = x[0], (x[-1] - x[0]) or 1.0
    parts = [_frame(f"0 {x_unit}", f"{_tick(span)} {x_unit}", f"{_tick(top)} {unit}")]
    for number, (name, column) in enumerate(columns.items()):
        points = [
            None if np.isnan(value) else (_x((at - first) / span), _y(value / top)) for at, value in _thin(x, column)
        ]
        parts += [f'<path class="s{number}" d="{_path(points)}"/>', _key(number, name)]
    return _svg(parts)


def histogram(edges: Sequence[float], counts: Sequence[int], unit: str) -> Markup:
    """Bars between the edges of bins."""
    top, span = max(counts), (edges[-1] - edges[0]) or 1.0
    parts = [_frame(f"{_tick(edges[0])} {unit}", f"{_tick(edges[-1])} {unit}", str(top))]
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        x, y = _x((left - edges[0]) / span), _y(count / top)
        width = max(_x((right - edges[0]) / span) - x - 1, 0.5)
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_y(0) - y:.1f}"/>')
    return _svg(parts)


def _thin(x: Sequence[float], column: np.ndarray) -> list[tuple[float, float]]:
    groups = np.array_split(np.arange(len(column)), min(POINTS, len(column)))
    return [
        (x[int(group[0])], float(np.fmax.reduce(column[group])))  # NaN only where all of the group is
        for group in groups
    ]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Lines between neighbors; a value alone is a dot, drawn as a line of no length with round ends."""
    steps, pen = [], False
    for point in points:
        if point is not None:
            steps.append(f"{'L' if pen else 'M'}{point[0]:.1f} {point[1]:.1f}" + ("" if pen else "h0"))
        pen = point is not None
    return "".join(steps)


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _tick(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _frame(first: str, last: str, top: str) -> str:
    return (
        f'<path class="axis" d="M{LEFT} {TOP}V{_y(0)}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{first}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{last}</text>'
        f'<text x="{LEFT}" y="{TOP - 8}" text-anchor="end" dx="-4" dy="12">{top}</text>'
        f'<text x="{LEFT - 4}" y="{_y(0)}" text-anchor="end">0</text>'
    )


def _key(number: int, name: str) -> str:
    return f'<text class="s{number}" x="{LEFT + 8 + 110 * number}" y="14">{name}</text>'


def _svg(parts: Sequence[str]) -> Markup:
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>')


def heat_map(shares: Sequence[Sequence[float | None]], names: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """A square matrix of shares in [0, 1] as darker or lighter cells, None left empty, with `counts` on hover."""
    roomy = len(names) <= 20
    cell, margin = 32 if roomy else 18, 8 * max(map(len, names)) + 8
    side, size = cell * len(names), margin + cell * len(names) + 2
    parts = [f'<path class="axis" d="M{margin} {margin}h{side}v{side}h{-side}z"/>']
    for row, (name, values) in enumerate(zip(names, shares, strict=True)):
        start = margin + row * cell
        middle = start + cell // 2 + 4
        parts.append(f'<text x="{margin - 6}" y="{middle}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<text transform="translate({middle} {margin - 6}) rotate(-90)">{escape(name)}</text>')
        for column, share in enumerate(values):
            if share is not None:
                told = f"{name} → {names[column]}: {100 * share:.1f} %, {counts[row][column]:,}"
                parts.append(_cell(margin + column * cell, start, cell, share, told, roomy))
    style = f"max-width: {size}px"
    return Markup(f'<svg viewBox="0 0 {size} {size}" role="img" style="{style}">{"".join(parts)}</svg>')


def _cell(x: int, y: int, side: int, share: float, told: str, numbered: bool) -> str:
    square = f'<rect x="{x}" y="{y}" width="{side - 1}" height="{side - 1}" fill-opacity="{share:.3f}"/>'
    number = f"{100 * share:.0f}" if numbered else "0"
    if number != "0":
        style = f"fill: var(--{'page' if share > 0.5 else 'ink'}); font-size: 10px"
        place = f'x="{x + side / 2}" y="{y + side / 2 + 4}" text-anchor="middle"'
        square += f'<text {place} style="{style}">{number}</text>'
    return f"<g>{square}<title>{escape(told)}</title></g>"
