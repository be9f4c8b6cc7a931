# SPDX-License-Identifier: Apache-2.0
"""cv_bridge as it may be found: absent, broken, fatal, working. Stand-ins, as no index has those builds."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cen_ros.messages import bridge
from cen_ros.messages.images import color_to_array, depth_to_array

WORKING = """
import numpy as np
class CvBridge:
    def imgmsg_to_cv2(self, msg, desired_encoding):
        if msg.encoding == "nv99":
            raise TypeError("[nv99] is not a color format")
        if msg.encoding == "nv24":
            return np.full((msg.height, msg.width, 3), 7 if desired_encoding == "rgb8" else 8, np.uint8)
        if msg.encoding == "16UC":
            return np.full((msg.height, msg.width), 5 if desired_encoding == "passthrough" else 6, np.uint16)
        if msg.encoding == "8SC1":
            return np.zeros((1, 1), np.uint8 if desired_encoding == "rgb8" else np.uint16)
        return np.zeros((msg.height, msg.width, 3) if desired_encoding == "rgb8" else (msg.height, msg.width), np.int8)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package cv_bridge of a given source first on the path; yields the list of processes that imported it."""
    log = tmp_path / "log"

    def install_(source):
        (tmp_path / "cv_bridge").mkdir()
        trace = f"import os\nwith open({str(log)!r}, 'a') as f: f.write(str(os.getpid()) + ' ')\n"
        (tmp_path / "cv_bridge" / "__init__.py").write_text(trace + source)
        monkeypatch.syspath_prepend(tmp_path)
        return lambda: log.read_text().split()

    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    bridge.why_not.cache_clear()
    yield install_
    bridge.why_not.cache_clear()
    sys.modules.pop("cv_bridge", None)


def message(encoding):
    return SimpleNamespace(encoding=encoding, height=4, width=6, step=18, is_bigendian=0, data=bytes(72))


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("os.abort()", r"with SIGABRT \(it said nothing\)"),
        (
            "import sys; print('numpy.core.multiarray failed to import', file=sys.stderr); os.abort()",
            "with SIGABRT .numpy",
        ),
        ("raise ImportError('libopencv_core.so.406: not found')", r"with status 1 \(ImportError: libopencv_core"),
        (
            WORKING.replace("import numpy as np\n", "").replace("if msg", "os.abort()\n        if msg", 1),
            "with SIGABRT",
        ),
    ],
)
def test_a_broken_one_is_tried_in_one_process_and_never_here(install, source, end):
    imported = install(source)
    for read in (color_to_array, depth_to_array, color_to_array):
        with pytest.raises(
            ValueError, match=rf"^expected one of the encodings .*, got 'nv24'; cv_bridge is .*{end}.*NumPy"
        ):
            read(message("nv24"))
    assert len(imported()) == 1 and "cv_bridge" not in sys.modules
    assert color_to_array(message("rgb8")).shape == (4, 6, 3)


def test_a_working_one_converts_what_is_not_ours(install):
    imported = install(WORKING)
    np.testing.assert_array_equal(color_to_array(message("nv24")), np.full((4, 6, 3), 7))
    np.testing.assert_array_equal(depth_to_array(message("16UC")), np.full((4, 6), 5))
    with pytest.raises(ValueError, match=r"got 'nv99'; cv_bridge cannot convert it: \[nv99\] is not a color format"):
        color_to_array(message("nv99"))
    for read in (color_to_array, depth_to_array):
        for encoding, got in (("8SC1", r"uint\d+ of shape \(1, 1\)"), ("8SC3", r"int8 of shape \(4, 6")):
            with pytest.raises(ValueError, match=f"of cv_bridge for '{encoding}', got {got}"):
                read(message(encoding))
    with pytest.raises(ValueError, match=r"got 'rgb8'$"):
        depth_to_array(message("rgb8"))
    assert len(imported()) == 2  # the trial, and this process


def test_one_that_hangs_is_given_up(install, monkeypatch):
    monkeypatch.setattr(bridge, "PROBE_SECONDS", 0.2)
    install("import threading\nthreading.Event().wait()")
    with pytest.raises(ValueError, match=r"trying it failed: .*timed out"):
        color_to_array(message("nv24"))


def test_without_one_the_error_names_the_encodings_that_need_none(install, monkeypatch):
    monkeypatch.setattr(bridge, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"encodings rgb8, .*, got 'nv24'; cv_bridge, .*, is not installed"):
        color_to_array(message("nv24"))
