# SPDX-License-Identifier: Apache-2.0
"""Reports as one HTML file each: pictures and plots inside, nothing loaded from elsewhere.

A page is a Jinja template that extends "base.html" and takes the macros of "parts.html".
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from PIL import Image

from cen_model.utils.files import write_text_atomically

WIDTH = 320
"""Pixels of a picture."""

BASE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { --page: #fff; --ink: #222; --soft: #667; --line: #ccd; --s0: #1668b8; --s1: #c2410c; --bad: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181c; --ink: #e4e6ea; --soft: #9aa3b2; --line: #3a404b;
          --s0: #6cb2ff; --s1: #ffa066; --bad: #ff8a80; }
}
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
       max-width: 1000px; margin: 0 auto; padding: 12px; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2em 0 .5em; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
.figures div { border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; }
.figures b { display: block; font-size: 1.5rem; } .figures span, .soft, figcaption { color: var(--soft);
  font-size: .85rem; overflow-wrap: anywhere; }
.bad { color: var(--bad); overflow-wrap: anywhere; }
td { white-space: nowrap; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; } td, th { padding: 2px 12px 2px 0; text-align: left;
  font-variant-numeric: tabular-nums; font-weight: normal; } th { color: var(--soft); }
.bar { display: grid; grid-template-columns: 9em 1fr 4.5em; gap: 8px; align-items: center; font-size: .9rem; }
.bar i { display: block; height: 14px; border: 1px solid var(--line); min-width: 1px; } .bar span:last-child {
  text-align: right; font-variant-numeric: tabular-nums; }
.legend span { display: inline-block; margin-right: 14px; white-space: nowrap; font-size: .85rem; }
.legend i { display: inline-block; width: 12px; height: 12px; border: 1px solid var(--line); margin-right: 4px; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: 6px; margin: 4px 0 16px; }
figure { margin: 0; } img, svg { width: 100%; height: auto; display: block; } svg { max-width: 600px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); } svg .axis { stroke: var(--line); fill: none; }
svg path.s0 { stroke: var(--s0); } svg path.s1 { stroke: var(--s1); } svg rect { fill: var(--s0); }
svg path { fill: none; stroke-width: 1.5; stroke-linecap: round; } svg text.s0 { fill: var(--s0); }
svg text.s1 { fill: var(--s1); }
code { overflow-wrap: anywhere; font-size: .85rem; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% block body %}{% endblock %}
</body>
</html>
"""

PARTS = """
{% macro bar(name, share, color) %}
<div class="bar"><span>{{ name }}</span>
<span><i style="width: {{ 100 * (share or 0) }}%; background: {{ color }}"></i></span>
<span>{{ share|percent }}</span></div>
{% endmacro %}
{% macro legend(colors) %}
<p class="legend">{% for name, color in colors.items() %}
<span><i style="background: {{ color }}"></i>{{ name }}</span>
{% endfor %}</p>
{% endmacro %}
{% macro pictures(images, what) %}
<div class="row">{% for name, image in images.items() %}
<figure><img src="{{ image }}" alt="{{ name }} of {{ what }}"><figcaption>{{ name }}</figcaption>
</figure>{% endfor %}</div>
{% endmacro %}
{% macro plots(drawn) %}
{% for title, plot in drawn.items() %}
<h2>{{ title }}</h2>
{{ plot }}
{% endfor %}
{% endmacro %}
{% macro versions(run) %}
{% for name, version in run.versions.items() %} {{ name }} {{ version }}{{ "," if not loop.last }}{% endfor %}
{% endmacro %}
"""


def save_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template in and write it, atomically. `values` has its title."""
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"base.html": BASE, "parts.html": PARTS}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, number=number)
    text = environment.from_string(template).render(values)
    write_text_atomically(path, text)


def picture(image: np.ndarray, photograph: bool) -> str:
    """uint8 (H, W, 3) as a data: URI of `WIDTH` pixels; photographs as JPEG, others as PNG with unblended colors."""
    size = (WIDTH, max(1, round(image.shape[0] * WIDTH / image.shape[1])))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if photograph else cv2.INTER_NEAREST)
    kind, options = ("jpeg", {"quality": 85}) if photograph else ("png", {"optimize": True})
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def color(rgb: np.ndarray) -> str:
    """#rrggbb of three bytes."""
    return "#" + bytes(rgb).hex()


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """Four digits, or all that stand before the point."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"
