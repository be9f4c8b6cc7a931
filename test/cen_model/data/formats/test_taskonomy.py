# SPDX-License-Identifier: Apache-2.0
"""Taskonomy: miniature trees written by other code, in both layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig
from cen_model.data.geometry import default_intrinsics, rays
from cen_model.modalities import MODALITIES

H, W = 4, 6
DEEP = {"depth_euclidean": "depth", "depth_zbuffer": "zbuffer", "edge_occlusion": "edge", "edge_texture": "texture"}
COLORED = {
    "rgb": "rgb",
    "normal": "normal",
    "principal_curvature": "curvature",
    "segment_unsup2d": "segment2d",
    "segment_unsup25d": "segment25d",
}
OURS = DEEP | COLORED | {"reshading": "shade"}


def image(domain: str, seed: int) -> np.ndarray:
    random = np.random.default_rng([seed, *domain.encode()])
    if domain in DEEP:
        values = random.integers(0, 13000, (H, W), np.uint16)
        values[0, :2] = 65535, 512
        return values
    if domain == "reshading":
        return np.repeat(random.integers(0, 256, (H, W, 1), np.uint8), 3, 2)
    return random.integers(0, 256, (H, W, 3), np.uint8)


def write(root: Path, buildings: int, views: int, layout: str, domains=tuple(OURS)) -> None:
    for building in range(buildings):
        for view in range(views):
            for domain in domains:
                inner = {"domains": f"{domain}/b{building}", "buildings": f"b{building}/{domain}"}[layout]
                path = root / inner / f"point_{view}_view_3_domain_{domain}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image(domain, building * 100 + view)).save(path)


@pytest.mark.parametrize("layout", ["domains", "buildings"])
def test_every_domain_is_read(tmp_path, layout):
    write(tmp_path, 3, 1, layout)
    dataset = open_dataset(DataConfig("taskonomy", tmp_path), "test", list(OURS.values()))
    assert len(dataset) == 1
    assert dataset.labels is None
    assert set(dataset.modalities) == set(OURS.values())
    read = dataset[0]
    for domain, name in OURS.items():
        stored = image(domain, 200)
        assert read[name].shape == ((H, W, 3) if MODALITIES[name].channels == 3 else (H, W)), domain
        if domain in COLORED:
            assert (read[name] == stored).all()
        elif domain == "reshading":
            assert (read[name] == stored[..., 0]).all()
        elif domain.startswith("depth"):
            assert (read[name] == np.where(stored == 65535, 0, stored / np.float32(512))).all()
            assert read[name][0, :2].tolist() == [0, 1]
        else:
            most = {"edge_occlusion": 11584, "edge_texture": 11355}[domain]
            expected = [0 if value == 65535 else round(min(value / most, 1) * 255) for value in stored.ravel().tolist()]
            assert np.abs(read[name].ravel().astype(int) - expected).max() <= 1
            assert read[name][0, 0] == 0


@pytest.mark.parametrize("layout", ["domains", "buildings"])
@pytest.mark.parametrize(("buildings", "views"), [(12, 2), (1, 30), (2, 5)])
def test_parts_share_nothing_and_leave_nothing_out(tmp_path, layout, buildings, views):
    write(tmp_path, buildings, views, layout, ("rgb", "depth_euclidean"))
    names = {f"b{building}" for building in range(buildings)}
    seen, places = [], []
    for split in ("train", "validation", "test"):
        dataset = open_dataset(DataConfig("taskonomy", tmp_path), split, ["rgb", "depth"])
        colors = {dataset[index]["rgb"].tobytes() for index in range(len(dataset))}
        assert colors
        seen.append(colors)
        parts = [part for index in range(len(dataset)) for part in Path(dataset.describe(index).split(", ")[0]).parts]
        places.append({part for part in parts if part in names})
    assert len(set.union(*seen)) == sum(map(len, seen)) == buildings * views
    if buildings > 2:
        assert not (places[0] & places[1] or places[0] & places[2] or places[1] & places[2])


def test_lists_name_the_buildings(tmp_path):
    write(tmp_path, 4, 2, "domains", ("rgb", "normal"))
    (tmp_path / "train.txt").write_bytes(b"b3\r\nb0\r\n")
    dataset = open_dataset(DataConfig("taskonomy", tmp_path), "train", ["rgb"])
    assert len(dataset) == 4
    (tmp_path / "train.txt").write_text("elsewhere")
    with pytest.raises(ValueError, match=r"train"):
        open_dataset(DataConfig("taskonomy", tmp_path), "train", ["rgb"])


def test_views_without_every_domain_are_left_out_and_counted(tmp_path, caplog):
    write(tmp_path, 3, 2, "domains", ("rgb", "normal"))
    (tmp_path / "normal" / "b0" / "point_1_view_3_domain_normal.png").unlink()
    dataset = open_dataset(DataConfig("taskonomy", tmp_path), "train", ["rgb", "normal"])
    assert len(dataset) == 1
    assert "1 of 2 views are left out" in caplog.text
    assert "b0/point_1_view_3: normal" in caplog.text


def test_domains_that_nobody_asked_for_cost_no_views(tmp_path, caplog):
    write(tmp_path, 3, 4, "domains", ("rgb", "depth_euclidean", "depth_zbuffer"))
    write(tmp_path, 1, 1, "domains", ("reshading", "principal_curvature"))
    for path in list((tmp_path / "depth_euclidean").rglob("*view*"))[:5]:
        path.unlink()
    dataset = open_dataset(DataConfig("taskonomy", tmp_path), "train", ["rgb", "normal"])
    assert len(dataset) == 4 and not caplog.text
    assert set(dataset[3]) == {"rgb", "zbuffer", "normal"}
    assert len(open_dataset(DataConfig("taskonomy", tmp_path), "train", ["rgb", "shade"])) == 1


def test_views_that_never_have_together_what_is_asked_for_are_refused(tmp_path):
    write(tmp_path, 3, 2, "domains", ("rgb", "reshading"))
    for domain, view in (("rgb", 0), ("reshading", 1)):
        (tmp_path / domain / "b0" / f"point_{view}_view_3_domain_{domain}.png").unlink()
    with pytest.raises(ValueError, match=r"no view has all that is asked for \(rgb, shade\)"):
        open_dataset(DataConfig("taskonomy", tmp_path), "train", ["rgb", "shade"])


@pytest.mark.parametrize("layout", ["domains", "buildings"])
def test_normals_are_made_of_the_depth_along_the_axis(tmp_path, layout):
    """A wall 2 m ahead, which along the ray is farther away the more a pixel is off the center."""
    write(tmp_path, 3, 1, layout, ("rgb", "depth_euclidean", "depth_zbuffer"))
    size = (96, 128)
    x, y = rays(size, default_intrinsics(size))
    wall = {"depth_zbuffer": np.full(size, 1024), "depth_euclidean": np.rint(1024 * np.sqrt(x**2 + y**2 + 1))}
    for domain, values in wall.items():
        for path in tmp_path.rglob(f"*_domain_{domain}.png"):
            Image.fromarray(values.astype(np.uint16)).save(path)
    frame = open_dataset(DataConfig("taskonomy", tmp_path), "test", ["depth", "normal", "edge", "hha"])[0]
    assert (frame["normal"] == [128, 128, 0]).all()
    assert not frame["edge"].any() and (frame["hha"][..., 0] == 155).all()
    assert frame["depth"].max() > 2.4, "what is asked for is still along the ray"


def test_one_view_is_too_few(tmp_path):
    write(tmp_path, 1, 1, "domains", ("rgb",))
    with pytest.raises(ValueError, match="none is left for train"):
        open_dataset(DataConfig("taskonomy", tmp_path), "train", ["rgb"])


def test_edges_of_8_bits_are_scaled_already(tmp_path):
    write(tmp_path, 3, 1, "buildings", ("rgb", "edge_texture"))
    for path in tmp_path.rglob("*_domain_edge_texture.png"):
        Image.fromarray(np.full((H, W), 200, np.uint8)).save(path)
    dataset = open_dataset(DataConfig(dataset="taskonomy", root=tmp_path), "train", ("rgb", "texture"))
    assert (dataset[0]["texture"] == 200).all()


def test_what_lists_leave_out_belongs_to_nobody(tmp_path):
    write(tmp_path, 12, 1, "buildings", ("rgb",))
    (tmp_path / "train.txt").write_text("".join(f"b{building}\n" for building in range(9)))
    with pytest.raises(ValueError, match=r"val\.txt, test\.txt\): has no validation frames, only train"):
        open_dataset(DataConfig("taskonomy", tmp_path), "validation", ["rgb"])
    (tmp_path / "test.txt").write_text("b9\n")
    for split, count in (("train", 9), ("validation", 1), ("test", 1)):
        assert len(open_dataset(DataConfig("taskonomy", tmp_path), split, ["rgb"])) == count
