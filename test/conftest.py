# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files use."""

import pytest


@pytest.fixture(scope="session")
def graph():
    """A real ROS graph on a DDS domain of this session."""
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
    from ros_graph import Graph

    graph = Graph()
    yield graph
    graph.close()
