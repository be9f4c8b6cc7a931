# SPDX-License-Identifier: Apache-2.0
"""The page of a bag's report, or of several bags' total."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cen_model.classes import palette
from cen_model.reporting import plots
from cen_model.reporting.html import color, picture, save_page
from cen_model.reporting.visualize import panels
from cen_ros.evaluation.bag_page_template import PAGE
from cen_ros.evaluation.gallery import Gallery, Picture


def save_html(path: Path, report: dict[str, Any], gallery: Gallery | None = None) -> None:
    """Write the page of a report, or of a total, as `cen_ros.evaluation.bag_results` describes them, atomically."""
    classes = report["run"]["classes"]
    save_page(
        path,
        PAGE,
        report=report,
        title=Path(report["bag"]).name if "bag" in report else f"{len(report['bags'])} bags",
        colors=dict(zip(classes, map(color, palette(len(classes))), strict=True)),
        plots=_plots(report),
        rows=_rows(gallery, len(classes)) if gallery else {},
    )


def _plots(report: dict[str, Any]) -> dict[str, str]:
    """SVG by title."""
    drawn = {}
    series, spread = report.get("series"), report.get("pairing", {}).get("histogram")
    if spread:
        title = "Stamp of depth minus stamp of color, pairs"
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
    by = "IoU" if any(each.truth is not None for each in gallery.worst) else "flicker"
    groups = {f"Worst frames by {by}": gallery.worst, "Frames from all over the bag": gallery.spread}
    return {title: [_row(each, classes) for each in group] for title, group in groups.items() if group}


def _row(shown: Picture, classes: int) -> dict[str, Any]:
    arrays = {name: getattr(shown, name) for name in ("rgb", "depth", "label", "truth")}
    images = panels({name: array for name, array in arrays.items() if array is not None}, classes)
    uris = {title: picture(image, photograph=title in ("RGB", "depth")) for title, image in images.items()}
    return {"picture": shown, "images": uris}
