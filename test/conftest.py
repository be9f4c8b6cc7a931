# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files use."""

import logging
import os

import pytest

# Before PyTorch is imported: results are compared bit for bit, which holds on the CPU. Tests marked gpu are run by
# CUDA_VISIBLE_DEVICES=0 pytest -m gpu
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# The networks here are small: on one thread they are faster, and far faster where something else wants the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: F401

# Files with tests that take a minute or more; two processes share the suite file by file.
LONG = ("test_soak.py", "test_backends.py", "test_experiments.py", "test_crash.py", "test_train.py")

# pytest 9 listens to loggers that do not propagate; PyTorch takes any listener for one that wants a trace of every
# export, which takes longer than the exports.
logging.getLogger("torch.__trace").propagate = True


def pytest_collection_modifyitems(items):
    """The longest come first, so that no process is left alone with one of them at the end."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="module")
def scene_cache(tmp_path_factory):
    """Scenes are rendered once for all files, away from the user's cache; in child processes, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def session_graph():
    """A real ROS graph on a DDS domain of this session."""
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
    pytest.importorskip("rclpy.event_handler", reason="rclpy before Iron tells nothing of matched publishers")
    from helpers.ros_graph import Graph

    graph = Graph()
    yield graph
    graph.close()


@pytest.fixture
def graph(session_graph):
    """The graph, without what earlier tests listened and published to."""
    yield session_graph
    session_graph.forget()


@pytest.fixture
def compose(graph):
    """Composes nodes that report five times a second, unless told otherwise, and ends them."""
    from helpers.composed import Composed, Reckoned

    nodes = []

    def start(network=None, **options):
        nodes.append(Composed(graph, network or Reckoned(), **{"diagnostics_period": 0.2, **options}))
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()
