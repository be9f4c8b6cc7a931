# SPDX-License-Identifier: Apache-2.0
"""A GPU whose memory runs out, as the node meets it: said in words, survived, and nothing kept."""

from __future__ import annotations

import weakref
from itertools import count

import pytest
import torch

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cen_ros[ros]'")
from rclpy.lifecycle import TransitionCallbackReturn

from cen_ros.node import SegmentationNode
from cen_ros.segmentation import networks
from helpers.composed import Reckoned
from helpers.ros_graph import SECONDS, own_namespace

TEXT = "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 3.81 GiB. If reserved but …"


class Short(Reckoned):
    """A network for which there is no memory at times."""

    short = False

    def predict(self, rgb, depth, confidence):
        if self.short:
            raise torch.OutOfMemoryError(TEXT)
        return super().predict(rgb, depth, confidence)


class Weights:
    """Something large."""


def test_a_frame_for_which_there_is_no_memory_is_lost_alone(compose):
    node = compose(Short())
    labels, milliseconds = node.ready(node.listen("label")), count(0, 100)
    node.network.short = True
    status = node.diagnosis(
        lambda status: "no labels" in status["message"], lambda: node.send(seed=0, milliseconds=next(milliseconds))
    )
    assert "not enough memory: CUDA out of memory. Tried to allocate 1.50 GiB." in status["message"]
    assert status["level"] == 1 and labels.empty()
    node.network.short = False
    message = node.send(seed=1, milliseconds=1_000_000)
    while labels.get(timeout=SECONDS).header != message.header:
        continue


def test_configuring_without_enough_memory_is_said_gives_it_back_and_can_be_tried_again(graph, monkeypatch, capfd):
    held, left = [], []

    def load(settings):
        if held:
            return Reckoned()
        loaded = Weights()
        held.append(weakref.ref(loaded))
        raise torch.OutOfMemoryError(TEXT)

    node = SegmentationNode(load, namespace=own_namespace(), context=graph.context)
    try:
        monkeypatch.setattr(networks, "release_memory", lambda: left.append(held[0]() is not None))
        assert graph.run(node.trigger_configure) == TransitionCallbackReturn.FAILURE
        assert left == [False], "what the failure still refers to cannot be given back"
        assert "not configured: not enough memory: CUDA out of memory." in capfd.readouterr().err
        assert graph.run(node.trigger_configure) == TransitionCallbackReturn.SUCCESS
    finally:
        graph.run(node.destroy_node)
