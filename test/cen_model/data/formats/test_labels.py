# SPDX-License-Identifier: Apache-2.0
"""Label conventions: what is read as what, and what is refused with an explanation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cen_model.classes import CITYSCAPES19, LABEL_SETS, NYU13, NYU13_OF_NYU40, NYU40, SUN37
from cen_model.data.formats.image_files import read_depth, read_gray, read_label, read_rgb
from cen_model.data.formats.label_conventions import CONVENTIONS, FROM_ZERO, ZERO_IS_VOID, Convention, explain, to_ids

PATH = Path("a label.png")


@pytest.mark.parametrize(
    ("convention", "values", "ids"),
    [
        (ZERO_IS_VOID, [0, 1, 2, 40], [255, 0, 1, 39]),
        (FROM_ZERO, [0, 1, 39, 255], [0, 1, 39, 255]),
        (Convention(1, (0, 255)), [0, 1, 40, 255], [255, 0, 39, 255]),
        (Convention(0, (65535,)), [0, 39, 65535, 5], [0, 39, 255, 5]),
    ],
)
@pytest.mark.parametrize("kind", [np.uint16, np.int64])
def test_values_become_ids(convention, values, ids, kind):
    read = to_ids(np.array([values], kind), convention, 40, PATH)
    assert read.dtype == np.uint8
    assert read.tolist() == [ids]


@pytest.mark.parametrize(
    ("convention", "values", "said"),
    [
        (ZERO_IS_VOID, [0, 1, 41], "41 is one more"),
        (FROM_ZERO, [0, 3, 40], "either classes from 1 on and 0 = void, zero_is_void, or "),
        (FROM_ZERO, [1, 40], "0 does not occur"),
        (ZERO_IS_VOID, [0, 39, 255], "from_zero"),
        (ZERO_IS_VOID, [1, 40, 255], r"classes from 1 on, \{first: 1, void: \[255\]\}"),
        (ZERO_IS_VOID, [0, 40, 255], r"0 = void, \{first: 1, void: \[0, 255\]\}, or "),
        (ZERO_IS_VOID, [0, 200], "another label set"),
        (ZERO_IS_VOID, [-1, 3], "-1"),
        (FROM_ZERO, [-1, 3], "-1"),
    ],
)
def test_values_outside_are_refused_and_explained(convention, values, said):
    with pytest.raises(ValueError, match=said) as error:
        to_ids(np.array([values], np.int64), convention, 40, PATH)
    assert str(PATH) in str(error.value)


def test_what_fits_both_conventions_is_said_to():
    assert "both conventions fit" in explain([0, 3, 12], 40)
    assert "from_zero" in explain([0, 3, 255], 40)


@pytest.mark.parametrize("values", [[0, 1, 2, 3], [0, 1, 2, 3, 255]])
def test_either_end_may_be_void_and_both_readings_that_are_named_read_all_values(values):
    said = explain(values, 3)
    named = [yaml.safe_load(each) for each in re.findall(r"\{first: .*?\}", said)]
    conventions = [Convention(each["first"], tuple(each["void"])) for each in named]
    conventions += [CONVENTIONS[name] for name in CONVENTIONS if name in said]
    read = {tuple(to_ids(np.array([values]), convention, 3, PATH)[0].tolist()) for convention in conventions}
    rest = [255] * (255 in values)
    assert read == {(255, 0, 1, 2, *rest), (0, 1, 2, 255, *rest)}
    assert "show" in said


def test_labels_of_other_kinds_are_refused():
    with pytest.raises(ValueError, match="one integer per pixel"):
        to_ids(np.zeros((2, 2), np.float32), FROM_ZERO, 3, PATH)


def test_label_files_give_what_is_stored(tmp_path):
    values = np.arange(40, dtype=np.uint8).reshape(5, 8)
    palette = Image.fromarray(values, "P")
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    palette.save(tmp_path / "palette.png")
    Image.fromarray(values).save(tmp_path / "gray.png")
    Image.fromarray(values.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.repeat(values[..., None], 3, 2)).save(tmp_path / "three.png")
    np.save(tmp_path / "array.npy", values)
    for name in ("palette.png", "gray.png", "deep.png", "three.png", "array.npy"):
        assert (read_label(tmp_path / name) == values).all(), name
    Image.fromarray(values > 7).save(tmp_path / "bits.png")
    assert (read_label(tmp_path / "bits.png") == (values > 7)).all()


def test_labels_as_colors_are_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png.*color"):
        read_label(tmp_path / "a.png")


def test_files_that_cannot_be_read_are_named(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    image.save(tmp_path / "whole.png")
    palette = image.convert("P")
    palette.save(tmp_path / "whole_palette.png")
    np.save(tmp_path / "whole.npy", np.zeros(100))
    cut = []
    for whole in sorted(tmp_path.iterdir()):
        for kept in (0, 30, whole.stat().st_size // 2):
            cut.append(tmp_path / f"cut_{kept}_{whole.name}")
            cut[-1].write_bytes(whole.read_bytes()[:kept])
    for path in [*cut, tmp_path / "not there.png", tmp_path]:
        for read in (read_label, read_rgb, read_gray, read_depth):
            with pytest.raises(ValueError, match=path.name):
                read(path)


def test_colors_are_rgb_without_transparency(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (6, 7, 4), np.uint8)
    Image.fromarray(colors).save(tmp_path / "a.png")
    assert (read_rgb(tmp_path / "a.png") == colors[..., :3]).all()
    Image.fromarray(colors[..., 0]).save(tmp_path / "gray.png")
    assert (read_rgb(tmp_path / "gray.png") == colors[..., :1]).all()


def test_depth_of_eight_bits_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "seen.png")
    with pytest.raises(ValueError, match=r"seen\.png.*16 bits"):
        read_depth(tmp_path / "seen.png")


def test_13_classes_of_40():
    # As in class13Mapping.mat of Handa et al. 2016 (numbers from 1).
    numbers = "12 5 6 1 4 9 10 12 13 6 8 6 13 10 6 13 6 7 7 5 7 3 2 6 11 7 7 7 7 7 7 6 7 7 7 7 7 7 6 7"
    assert [each + 1 for each in NYU13_OF_NYU40] == list(map(int, numbers.split()))
    assert len(NYU40) == 40
    assert len(NYU13) == 13
    assert SUN37[-1] == "bag"


def test_every_label_set_has_a_color_for_each_class():
    for labels in LABEL_SETS.values():
        assert len(labels.names) == len(labels.colors) == len(set(labels.names)) == len(set(labels.colors))
    assert len(CITYSCAPES19) == 19
    assert CITYSCAPES19["rider"] == (255, 0, 0)
