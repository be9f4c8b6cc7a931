# SPDX-License-Identifier: Apache-2.0
"""Builds the engines that the segmentation node will load, as a step of a robot's set-up.

ros2 run cen_ros build_engines --ros-args --params-file my.yaml -p weights:=my.safetensors
"""

from __future__ import annotations

import sys

from rclpy.lifecycle import TransitionCallbackReturn

from cen_model.utils.process_settings import keep_freed_memory
from cen_ros.context import running
from cen_ros.node import SegmentationNode
from cen_ros.segmentation import networks


def main(args: list[str] | None = None) -> None:
    """Configure the node, which builds what is not there yet, and end; the exit status is 1 where that fails."""
    keep_freed_memory()
    with running(args) as interrupts:
        node = SegmentationNode(interrupts.interruptible()(networks.load))
        configured = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        node.destroy_node()
    sys.exit(not configured)


if __name__ == "__main__":
    main()
