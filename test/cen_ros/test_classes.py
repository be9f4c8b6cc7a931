# SPDX-License-Identifier: Apache-2.0
"""Class names and colors in every form that is handed out, and the command that writes them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from cen_model.classes import NYU13, NYU40, palette
from cen_model.config import TranslationConfig
from cen_ros.classes import class_ids, class_map, kimera_csv, label_info, main, read_classes
from cen_ros.messages.paint import Painter
from helpers.paths import REPOSITORY


def drawn(classes: int, label: int) -> list[int]:
    return Painter(classes).color(np.array([[label]], np.uint8))[0, 0].tolist()


@pytest.mark.parametrize("classes", [NYU13, NYU40])
def test_class_map_names_every_label_and_the_color_it_is_drawn_in(classes):
    got = json.loads(class_map(classes))
    assert got.keys() == {"classes", "unlabeled"}
    assert got["unlabeled"] == 255
    assert [entry["name"] for entry in got["classes"]] == list(classes)
    for label, entry in enumerate(got["classes"]):
        assert entry["id"] == label
        assert entry["color"] == drawn(len(classes), label)


def test_names_become_ids_and_an_unknown_one_is_said():
    assert class_ids(["chair", "bed"], NYU13) == (3, 0)
    assert class_ids([], NYU13) == ()
    with pytest.raises(ValueError, match="class 'chairs' is unknown; did you mean chair"):
        class_ids(["bed", "chairs"], NYU13)


@dataclass
class _VisionClass:
    """As rosidl makes it of vision_msgs/msg/VisionClass."""

    class_id: int = 0
    class_name: str = ""


@dataclass
class _LabelInfo:
    """As rosidl makes it of vision_msgs/msg/LabelInfo."""

    header: Any = None
    class_map: list = field(default_factory=list)
    threshold: float = 0.0


@pytest.fixture
def vision_msgs(monkeypatch):
    """The real messages where they are installed, else stand-ins: the package index has none."""
    try:
        import vision_msgs.msg  # noqa: F401
    except ImportError:
        package, module = ModuleType("vision_msgs"), ModuleType("vision_msgs.msg")
        module.VisionClass, module.LabelInfo = _VisionClass, _LabelInfo
        monkeypatch.setitem(sys.modules, "vision_msgs", package)
        monkeypatch.setitem(sys.modules, "vision_msgs.msg", module)


def test_label_info(vision_msgs):
    header = pytest.importorskip("std_msgs.msg", reason="std_msgs is not installed").Header(frame_id="optical")
    msg = label_info(NYU13, header, 0.25)
    assert [(each.class_id, each.class_name) for each in msg.class_map] == list(enumerate(NYU13))
    assert msg.threshold == 0.25
    assert msg.header.frame_id == "optical"
    assert label_info(NYU13).threshold == 0


def test_without_vision_msgs_there_is_no_label_info(monkeypatch):
    monkeypatch.setitem(sys.modules, "vision_msgs", None)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    assert label_info(NYU13) is None


def test_kimera_csv_maps_drawn_colors_to_ids_of_its_own():
    """As Kimera-Semantics reads it: six cells a row; 0, drawn black here, is what it does not know."""
    header, *rows = csv.reader(kimera_csv(NYU40).splitlines())
    assert header == ["name", "red", "green", "blue", "alpha", "id"]
    assert rows[0] == ["unknown", *map(str, drawn(40, 255)), "255", "0"]
    assert len(rows) == 41
    for label, (name, *color, alpha, number) in enumerate(rows[1:]):
        assert name == NYU40[label]
        assert list(map(int, color)) == drawn(40, label)
        assert (alpha, number) == ("255", str(label + 1))
    assert len({tuple(row[1:4]) for row in rows}) == 41, "a color is one class"
    assert [255, 255, 255] not in palette(40).tolist(), "Kimera-Semantics takes white for unknown"
    assert kimera_csv(["a, b"]).splitlines()[2] == "a  b,128,0,0,255,1"


def test_classes_of_weights_and_of_what_is_none(tmp_path):
    assert read_classes("synthetic13-cen") == NYU13
    with pytest.raises(FileNotFoundError, match=r"'nothing': no such file.*synthetic13-cen"):
        read_classes("nothing")
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"12345678901234567890")
    with pytest.raises(ValueError, match=r"x.safetensors: expected a checkpoint of cen_model: "):
        read_classes(path)
    tensor = {"x": np.zeros(1, np.float32)}
    save_file(tensor, path)
    with pytest.raises(ValueError, match="it holds no configuration"):
        read_classes(path)
    save_file(tensor, path, {"config": json.dumps(TranslationConfig().to_dict())})
    with pytest.raises(ValueError, match="got a translation network, which has no classes"):
        read_classes(path)


def test_command_writes_what_is_asked_for_without_pytorch(tmp_path):
    code = "import sys; from cen_ros.classes import main; main(); sys.exit('torch' in sys.modules)"
    names = ["--json", "sub/map.json", "--kimera", "colors.csv"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "synthetic13-cen",
            *(name if name[0] == "-" else tmp_path / name for name in names),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "sub" / "map.json").read_text(encoding="utf-8") == class_map(NYU13) + "\n"
    assert (tmp_path / "colors.csv").read_text(encoding="utf-8") == kimera_csv(NYU13)


def test_command_prints_the_map_warns_of_kimeras_limit_and_ends_with_the_reason(tmp_path, capsys, monkeypatch):
    main(["synthetic13-cen"])
    assert capsys.readouterr().out == class_map(NYU13) + "\n"
    monkeypatch.setattr("cen_ros.classes.read_classes", lambda weights: NYU40)
    main(["forty", "--kimera", str(tmp_path / "a.csv")])
    assert "these are 41: raise its kTotalNumberOfLabels" in capsys.readouterr().err
    main(["forty", "--label-groups", "nyu13", "--kimera", str(tmp_path / "b.csv")])
    assert capsys.readouterr().err == "" and (tmp_path / "b.csv").read_text() == kimera_csv(NYU13)
    main(["forty", "--label_groups", "traversable"])
    assert capsys.readouterr().out == class_map(("traversable", "other")) + "\n"
    with pytest.raises(SystemExit, match=r"^classes: label_groups 'nothing': no such file"):
        main(["forty", "--label-groups", "nothing"])
    with pytest.raises(SystemExit, match=r"^classes: .*directory"):
        main(["forty", "--kimera", str(tmp_path)])
