# SPDX-License-Identifier: Apache-2.0
"""FID against SciPy's matrix root, KID against a slow double loop, and the errors of missing Inception weights."""

from __future__ import annotations

import re
from urllib.error import URLError

import numpy as np
import pytest
import torch
from scipy import linalg
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from cen_model.evaluation import fidelity


def features(n, d=6, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift).astype(np.float32))


def slow_fid(real, fake):
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (real, fake))
    root = linalg.sqrtm(cov_a @ cov_b).real
    return ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)


def slow_kid(real, fake):
    """Unbiased squared MMD with the kernel (x·y / d + 1)³; both sets of the same size."""
    n, d = real.shape

    def kernel(a, b):
        return (a @ b / d + 1) ** 3

    within = sum(kernel(x[i], x[j]) for x in (real, fake) for i in range(n) for j in range(n) if i != j)
    between = sum(kernel(a, b) for a in real for b in fake)
    return within / (n * (n - 1)) - 2 * between / n**2


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_distances_equal_slow_ones(shift):
    real, fake = features(40, seed=1), features(40, shift=shift, seed=2)
    fid, kid = fidelity.distances(real, fake)
    a, b = real.double().numpy(), fake.double().numpy()
    assert fid == pytest.approx(slow_fid(a, b), rel=1e-6)
    assert kid == pytest.approx(slow_kid(a, b), rel=1e-6)


def test_kid_of_many_images_is_a_mean_over_subsets(monkeypatch):
    monkeypatch.setattr(fidelity, "SUBSET_SIZE", 20)
    real, fake = features(200, seed=1), features(200, shift=1.0, seed=2)
    first = fidelity.distances(real, fake)
    state = torch.manual_seed(7).get_state()
    assert first == fidelity.distances(real, fake)  # the same subsets each time
    assert torch.equal(state, torch.get_rng_state())
    whole = slow_kid(real.double().numpy(), fake.double().numpy())
    assert first[1] != pytest.approx(whole, rel=1e-6)
    assert first[1] == pytest.approx(whole, rel=0.3)


def test_equal_sets_are_near_and_one_image_is_no_set():
    real = features(50)
    fid, kid = fidelity.distances(real, real)
    assert abs(fid) < 1e-3 and kid <= 0
    assert all(np.isnan(fidelity.distances(real[:1], real)))


def test_missing_weights_say_where_they_were_looked_for_and_come_from(tmp_path, monkeypatch):
    def offline(url, path, progress):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "checkpoints"))) as error:
        fidelity.inception()
    assert all(words in str(error.value) for words in (*fidelity.FILES, fidelity.URL, "--inception"))


def test_weights_of_something_else_are_refused_and_never_unpickled(tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return (print, ("unpickled",))

    for name, content in {"other.pth": {"weight": torch.zeros(3)}, "trap.pth": Trap()}.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=f"{name}.*Inception"):
            fidelity.inception(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out
    (tmp_path / "torn.pth").write_bytes((tmp_path / "other.pth").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"torn\.pth"):
        fidelity.inception(tmp_path / "torn.pth")


def test_weights_are_found_where_torch_hub_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    torch.manual_seed(0)
    state = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).state_dict()  # random weights
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / fidelity.FILES[1])
    network = fidelity.inception()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert network(images).shape == (2, fidelity.FEATURES)
