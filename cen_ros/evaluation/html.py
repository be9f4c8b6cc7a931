# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file: pictures and plots inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from PIL import Image

from cen_model.data.classes import palette
from cen_model.files import write_atomically
from cen_ros.evaluation import plots
from cen_ros.evaluation.gallery import Gallery, Picture
from cen_ros.evaluation.page import PAGE
from cen_ros.pictures import panels

WIDTH = 320
"""Pixels of a picture."""


def save_html(path: Path, report: dict[str, Any], gallery: Gallery | None = None) -> None:
    """Write the page of a report, or of a total, as `cen_ros.evaluation.results` describes them, atomically."""
    classes = report["run"]["classes"]
    colours = ["#" + bytes(colour).hex() for colour in palette(len(classes))]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=_percent, number=_number)
    text = environment.from_string(PAGE).render(
        report=report,
        title=Path(report["bag"]).name if "bag" in report else f"{len(report['bags'])} bags",
        colours=dict(zip(classes, colours, strict=True)),
        plots=_plots(report),
        rows=_rows(gallery, len(classes)) if gallery else {},
    )
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def _plots(report: dict[str, Any]) -> dict[str, str]:
    """SVG by title."""
    drawn = {}
    series, spread = report.get("series"), report.get("pairing", {}).get("histogram")
    if spread:
        title = "Stamp of depth minus stamp of colour, pairs"
        drawn[title] = plots.histogram(spread["edges_ms"], spread["counts"], "ms")
    if series and series["stamp_ns"]:
        seconds = [stamp / 1e9 for stamp in series["stamp_ns"]]
        shares = {name: [None if v is None else 100 * v for v in series[name]] for name in ("iou", "plain", "warped")}
        if report["scores"]:
            drawn["Mean IoU of each frame"] = plots.curves(seconds, {"IoU": shares["iou"]}, "%")
        change = {name: shares[name] for name in ("plain", "warped") if any(v is not None for v in shares[name])}
        if change:
            drawn["Labels that change from frame to frame"] = plots.curves(seconds, change, "%")
        drawn["Inference of each frame"] = plots.curves(seconds, {"latency": report["timing"]["frame_ms"]}, "ms")
    return drawn


def _rows(gallery: Gallery, classes: int) -> dict[str, list[dict[str, Any]]]:
    """Pictures by heading."""
    by = "IoU" if any(picture.truth is not None for picture in gallery.worst) else "flicker"
    groups = {f"Worst frames by {by}": gallery.worst, "Frames from all over the bag": gallery.spread}
    return {title: [_row(each, classes) for each in group] for title, group in groups.items() if group}


def _row(picture: Picture, classes: int) -> dict[str, Any]:
    arrays = {name: getattr(picture, name) for name in ("rgb", "depth", "label", "truth")}
    images = panels({name: array for name, array in arrays.items() if array is not None}, classes)
    return {"picture": picture, "images": {title: _uri(image, title) for title, image in images.items()}}


def _uri(image: np.ndarray, title: str) -> str:
    """uint8 (H, W, 3) as a data: URI; photographs as JPEG, labels as PNG, unblended."""
    photograph = title in ("RGB", "depth")
    size = (WIDTH, max(1, round(image.shape[0] * WIDTH / image.shape[1])))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if photograph else cv2.INTER_NEAREST)
    kind, options = ("jpeg", {"quality": 85}) if photograph else ("png", {"optimize": True})
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    """Four digits, or all that stand before the point."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"
