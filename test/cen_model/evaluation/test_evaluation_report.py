# SPDX-License-Identifier: Apache-2.0
"""The page of an evaluation: one file, with what was measured and pictures that can be decoded."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from cen_model.classes import VOID, LabelSet
from cen_model.evaluation import examples, results
from cen_model.evaluation.evaluation_page import most_confused, save_html
from cen_model.reporting.contact_sheet import contact_sheet, frame_images
from cen_model.reporting.plots import heat_map

CLASSES = ("wall", "floor", "<b>chair</b>")
LABELS = LabelSet(CLASSES, ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
SIZE = (315, 420)
CONFUSION = np.array([[90, 10, 0], [5, 40, 5], [0, 0, 0]])


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br", "path", "rect", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # every element is closed in its turn

    def handle_data(self, data):
        self.text += data

    def pictures(self):
        """Decoded images by caption-like alt text."""
        found = {}
        for tag, attributes in self.tags:
            if tag == "img":
                kind, _, content = attributes["src"].partition(";base64,")
                assert kind in ("data:image/png", "data:image/jpeg")
                found[attributes["alt"]] = np.array(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
        return found


@pytest.fixture
def report():
    frames = [{"index": i, "files": f"{i}.png", **results.frame(np.diag([i, 9 - i, 0]) + 1)} for i in range(4)]
    return {
        "task": "segmentation",
        "data": {"dataset": "nyudv2", "root": "/data", "split": "test", "frames": 4, "layout": None, "label_set": None},
        "inference": {"mode": "single", "scales": None, "drop": ["depth"], "holes": None, "runs_on": "the network"},
        "network": {"modalities": ["rgb", "depth"], "parameters": 1234567, "exchanged": 0.25},
        **results.segmentation({"rgb": CONFUSION // 2, "ensemble": CONFUSION}, CLASSES),
        "calibration_error": 0.0625,
        "frames": frames,
        "run": {
            "weights": "runs/x/best.safetensors",
            "command": "cen evaluate 'a b'",
            "commit": "0123abc",
            "versions": {"torch": "2.14.1"},
            "device": "CPU",
            "processes": 2,
            "seconds": 3.5,
        },
    }


def frame():
    label = np.zeros(SIZE, np.uint8)
    label[:, 213:], label[:50] = 1, VOID
    rgb = np.full((*SIZE, 3), (200, 150, 100), np.uint8)
    return {"rgb": rgb, "depth": np.full(SIZE, 1500, np.uint16), "label": label}


def page(report, tmp_path, shown=None):
    save_html(tmp_path / "report.html", report, LABELS, shown or {})
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_the_page_loads_nothing_and_is_well_formed(report, tmp_path):
    text, parsed = page(report, tmp_path)
    assert not parsed.open
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)
    assert "<b>chair</b>" not in text and "<b>chair</b>" in parsed.text  # names of classes are only text


def test_the_page_says_what_was_measured(report, tmp_path):
    _, parsed = page(report, tmp_path)
    for words in (
        *("50.8 %", "86.7 %", "85.0 %", "6.2 %", "25.0 %", "1.235 M"),  # means, calibration, exchanged, parameters
        *("nyudv2", "split test", "/data", "without depth", "runs/x/best.safetensors", "0123abc", "torch 2.14.1"),
        *("cen evaluate 'a b'", "2 processes", "3.5 s"),
    ):
        assert words in parsed.text, words
    bars = [
        attributes["style"] for tag, attributes in parsed.tags if tag == "i" and "width" in attributes.get("style", "")
    ]
    assert [float(re.search(r"width: ([\d.]+)%", style)[1]) for style in bars] == pytest.approx(
        [100 * 90 / 105, 100 * 40 / 60, 0.0]  # sorted; the last class is in no truth, and labeled where it is not
    )
    assert "<b>chair</b> *" in parsed.text


def test_pictures_show_the_truth_the_labels_and_their_errors(report, tmp_path):
    shown = frame()
    labels = np.zeros(SIZE, np.uint8)
    confidence = np.linspace(0, 1, SIZE[1], dtype=np.float32)[None].repeat(SIZE[0], 0)
    images = {
        **frame_images(shown, ("rgb", "depth")),
        **examples.answers(shown, labels, confidence, LABELS),
    }
    _, parsed = page(report, tmp_path, {"Worst frames": {2: images}})
    pictures = parsed.pictures()
    assert list(pictures) == [f"{k} of frame 2" for k in ("rgb", "depth", "truth", "labels", "confidence", "errors")]
    height, width = 240, 320
    assert all(picture.shape == (height, width, 3) for picture in pictures.values())
    truth, errors = pictures["truth of frame 2"], pictures["errors of frame 2"]
    assert not truth[20].any() and not errors[20].any()  # void
    for column, color, wrong in ((80, (255, 0, 0), False), (240, (0, 255, 0), True)):
        assert tuple(truth[200, column]) == color
        assert tuple(pictures["labels of frame 2"][200, column]) == (255, 0, 0)
        assert (tuple(errors[200, column]) == tuple(examples.WRONG)) == wrong
    assert {tuple(color) for color in truth.reshape(-1, 3)} == {(0, 0, 0), *LABELS.colors[:2]}  # none is blended
    np.testing.assert_allclose(pictures["rgb of frame 2"][120, 160], (200, 150, 100), atol=3)
    assert "frame 2 (2.png), mean IoU" in parsed.text


def test_a_contact_sheet_has_a_row_for_each_frame_whatever_its_size():
    colors = {"rgb": [(250, 0, 0), (0, 0, 250)], "truth": [(0, 250, 0), (250, 250, 0)]}
    sizes = [(60, 80), (48, 48)]
    frames = [
        {title: np.full((*size, 3), each[row], np.uint8) for title, each in colors.items()}
        for row, size in enumerate(sizes)
    ]
    sheet = np.asarray(contact_sheet(frames, width=examples.PANEL))
    height, width = examples.PANEL * 3 // 4, examples.PANEL
    found = {color: np.argwhere((sheet == color).all(2)) for each in colors.values() for color in each}
    assert all(len(pixels) == height * width for pixels in found.values())
    red, green, blue = (found[color].mean(0) for color in [(250, 0, 0), (0, 250, 0), (0, 0, 250)])
    assert red[0] == green[0] < blue[0] and red[1] == blue[1] < green[1]


def test_examples_are_the_worst_the_median_and_the_best():
    rng = np.random.default_rng(0)
    values = rng.permutation(20).astype(float)
    frames = [{"index": i, "iou": value} for i, value in enumerate(values)] + [{"index": 20, "iou": None}]
    chosen = examples.choose(frames, "iou")
    by_value = np.argsort(values).tolist()
    assert chosen["Worst frames"] == by_value[:3]
    assert chosen["Best frames"] == by_value[:-4:-1]
    assert set(chosen["Median frames"]) <= set(by_value[7:13]) and len(chosen["Median frames"]) == 3
    turned = examples.choose(frames, "iou", lower_is_better=True)
    assert turned["Worst frames"] == chosen["Best frames"] and turned["Best frames"] == chosen["Worst frames"]


@pytest.mark.parametrize("count", range(10))
def test_few_frames_are_shown_once_each(count):
    frames = [{"index": i, "iou": i / 10} for i in range(count)]
    chosen = [index for group in examples.choose(frames, "iou").values() for index in group]
    assert sorted(chosen) == list(range(count))


def test_the_heat_map_has_a_cell_for_every_share():
    shares = [[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [None] * 3]
    parsed = Page(str(heat_map(shares, CLASSES, CONFUSION.tolist())))
    opacity = [float(attributes["fill-opacity"]) for tag, attributes in parsed.tags if tag == "rect"]
    assert opacity == [0.9, 0.1, 0.0, 0.1, 0.8, 0.1]
    places = [(float(a["x"]), float(a["y"])) for tag, a in parsed.tags if tag == "rect"]
    assert [x for x, _ in places[:3]] == sorted({x for x, _ in places})  # a row of the matrix is a row of the picture
    assert len({y for _, y in places[:3]}) == 1
    assert "floor → <b>chair</b>: 10.0 %, 5" in parsed.text


def test_confused_pairs_come_by_the_pixels_they_cost():
    assert most_confused(CONFUSION, CLASSES) == [
        {"truth": "wall", "label": "floor", "share": 0.1, "pixels": 10},
        {"truth": "floor", "label": "wall", "share": 0.1, "pixels": 5},
        {"truth": "floor", "label": "<b>chair</b>", "share": 0.1, "pixels": 5},
    ]


def test_labels_that_groups_leave_void_are_confused_too_and_not_mapped(report, tmp_path):
    confusion = np.column_stack([CONFUSION, [30, 0, 0]])
    report |= results.segmentation({"ensemble": confusion}, CLASSES)
    assert report["scores"]["ensemble"]["pixel_accuracy"] == 130 / 180
    assert most_confused(confusion, CLASSES)[0] == {"truth": "wall", "label": "void", "share": 30 / 130, "pixels": 30}
    _, parsed = page(report, tmp_path)
    assert "wall → floor: 7.7 %, 10" in parsed.text


def test_figures_that_do_not_exist_are_dashes(report, tmp_path):
    report |= results.segmentation({"ensemble": np.zeros((3, 3), int)}, CLASSES)
    report["frames"], report["network"]["exchanged"] = (
        [{"index": 0, "files": "", "iou": None, "pixel_accuracy": None}],
        None,
    )
    text, parsed = page(report, tmp_path)
    assert "nan" not in text.lower() and parsed.text.count("–") >= 7
