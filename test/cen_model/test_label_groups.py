# SPDX-License-Identifier: Apache-2.0
"""Files of label groups: what they make of a network's classes, and what is said of files that are wrong."""

from __future__ import annotations

import re

import pytest

from cen_model.classes import NYU13, NYU13_OF_NYU40, NYU40, SUN37
from cen_model.label_groups import LabelGroups, find_groups, read_groups
from helpers.paths import CONFIG

CLASSES = ("floor", "chair", "table", "floor mat", "wall")
SHIPPED = sorted(path.stem for path in (CONFIG / "groups").iterdir())


@pytest.fixture
def write(tmp_path):
    """Write a file of groups."""

    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("rest", "names", "wall"), [("other", ("seat", "ground", "other"), 2), ("void", ("seat", "ground"), 255)]
)
def test_labels_are_numbered_in_the_order_of_the_file_and_the_rest_is_last(write, rest, names, wall):
    path = write(f"rest: {rest}\ngroups: {{seat: [chair], ground: [floor mat, floor]}}\n")
    assert read_groups(path, CLASSES) == LabelGroups(names, (1, 0, wall, 1, wall))


def test_without_a_rest_there_is_no_other(write):
    path = write(f"{{groups: {{all: [{', '.join(CLASSES)}]}}, rest: other}}")
    assert read_groups(path, CLASSES) == LabelGroups(("all",), (0,) * 5)


def test_one_file_is_for_several_networks_by_their_label_sets(write):
    path = write("{groups: {screen: [tv, television]}, rest: void, label_sets: [nyu40, nyu13]}")
    for classes, screen in ((NYU13, "tv"), (NYU40, "television")):
        ids = read_groups(path, classes).ids
        assert [name for name, label in zip(classes, ids, strict=True) if label == 0] == [screen]
    with pytest.raises(ValueError, match="group 'screen': the network tells none of tv, television, but floor, chair"):
        read_groups(path, CLASSES)


def test_nyu13_is_the_published_mapping_of_the_40_and_leaves_the_13_as_they_are():
    assert read_groups("nyu13", NYU40) == LabelGroups(NYU13, NYU13_OF_NYU40)
    assert read_groups("nyu13", NYU13) == LabelGroups(NYU13, tuple(range(13)))


@pytest.mark.parametrize("classes", [NYU40, NYU13, SUN37])
def test_shipped_groups_tell_the_floor_from_what_stands_on_it(classes):
    drivable = read_groups("traversable", classes)
    assert drivable.names == ("traversable", "other")
    obstacles = read_groups("obstacles", classes)
    assert obstacles.names == ("floor", "wall", "obstacle")
    for name, ground, kind in zip(classes, drivable.ids, obstacles.ids, strict=True):
        assert (ground == 0) == (kind == 0) == (name in ("floor", "floor mat"))
        assert (kind == 255) == (name == "ceiling")


def test_shipped_groups_are_found_by_name_and_explain_their_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert SHIPPED == ["nyu13", "obstacles", "traversable"]
    for name in SHIPPED:
        text = find_groups(name).read_text(encoding="utf-8")
        assert all(re.search(rf"^#   {key} +\w", text, re.MULTILINE) for key in ("groups", "rest", "label_sets"))
    with pytest.raises(FileNotFoundError, match=re.escape(f"label_groups 'nyu14': no such file, nor one of {SHIPPED}")):
        find_groups("nyu14")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("groups: {seat: [chairs]}", "group 'seat': class 'chairs' is unknown; did you mean chair"),
        ("groups: {a: [chair], b: [chair]}", "group 'b': class 'chair' is in 'a' already; leave it in one"),
        ("groups: {a: [chair, chair]}", "group 'a': class 'chair' is in 'a' already"),
        ("groups:\n  a: [chair]\n  a: [table]", "the key 'a' stands twice; merge the two.*line 2"),
        ("groups: {a: []}", r"group 'a': expected a list of one or more names, .* got \[\]"),
        ("groups: {a: chair}", "group 'a': expected a list of one or more names, .* got 'chair'"),
        ("groups: {a: [chair, 7]}", "group 'a': expected names, got 7; write it in quotes"),
        ("groups: {on: [chair]}", "expected text as the name of a group, got True; write it in quotes"),
        ("groups: {}", "groups: expected names with lists of classes, .* got {}"),
        ("groups: [floor]", r"groups: expected names with lists of classes, .* got \['floor'\]"),
        ("rest: void", "groups: expected names with lists of classes, .* got None"),
        ("floor: [floor]", "the key 'floor' is unknown; expected one of groups, rest, label_sets"),
        ("group: {a: [chair]}", "the key 'group' is unknown; did you mean groups"),
        ("- floor", r"expected the keys groups, rest, label_sets, got \['floor'\]"),
        ("", "expected the keys groups, rest, label_sets, got None"),
        ("groups: {a: [chair", "not YAML that can be read"),
        ("groups: {a: [chair]}", "no group has floor, table, floor mat, wall: put them in one, or write `rest: other`"),
        ("{groups: {a: [chair]}, rest: background}", "rest: expected other or void, got 'background'"),
        ("{groups: {other: [chair]}, rest: other}", "group 'other': `rest` has this name; choose another"),
        ("{groups: {a: [chair]}, label_sets: nyu40}", "label_sets: expected a list"),
        ("{groups: {a: [chair]}, label_sets: [nyu14]}", "label set 'nyu14' is unknown; did you mean nyu40 or nyu13"),
    ],
)
def test_wrong_files_are_named_with_the_place_and_the_way_out(write, text, message):
    path = write(text)
    with pytest.raises(ValueError, match=f"(?s)^label_groups {re.escape(str(path))}: .*{message}"):
        read_groups(path, CLASSES)
