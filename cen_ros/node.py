# SPDX-License-Identifier: Apache-2.0
"""The segmentation node: RGB and depth topics in, label images out; a managed (lifecycle) node.

python -m cen_ros.node --ros-args -r rgb/image:=/camera/color/image_raw -r depth/image:=/camera/depth/image_raw
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from cen_ros import parameters
from cen_ros.context import shut_down
from cen_ros.logs import LogForwarder
from cen_ros.pipeline import Pipeline

if TYPE_CHECKING:  # imports PyTorch, which takes seconds
    from cen_model.predictor import Predictor


class SegmentationNode(LifecycleNode):
    """Publishes `~/label` (mono8 class ids, at the size and with the header of the RGB image) for each RGB-D pair.

    Configured it holds the network, active it also listens.
    """

    def __init__(self, **options: Any):
        super().__init__("cen_segmentation", **options)
        parameters.declare(self)
        self._forwarder = LogForwarder("cen_model.deploy", self.get_logger())
        self._predictor: Predictor | None = None
        self._publisher: LifecyclePublisher | None = None
        self._pipeline: Pipeline | None = None
        _answer_impossible_transitions(self)

    def autostart(self) -> None:
        """Configure and, if that succeeds, activate."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and run it once; stay unconfigured, with the reason logged, where that fails."""
        try:
            self._predictor = _load(parameters.read(self))
        except Exception as error:  # whatever it is: rclpy would swallow it, and the user has to read it
            self.get_logger().error(f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self._publisher = self.create_lifecycle_publisher(Image, "~/label", QoSProfile(depth=5))
        target = self._predictor.target or f"{self._predictor.device}, without an engine"
        self.get_logger().info(f"{len(self._predictor.classes)} classes, with {target}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and start the worker; back to unconfigured, with the reason logged, where that fails."""
        try:
            slop_ns = parameters.read(self).slop_ns
            result = super().on_activate(state)  # from here on the publisher publishes
            self._pipeline = Pipeline(self, self._predictor, self._publisher, slop_ns)
        except Exception as error:  # whatever it is: rclpy would swallow it, and the user has to read it
            self.get_logger().error(f"not activated: {error}")
            return TransitionCallbackReturn.ERROR
        self.get_logger().info(
            f"listening to {' and '.join(self._pipeline.topics)} (sync_slop {slop_ns / 1e6:g} ms), "
            f"labels on {self._publisher.topic_name}"
        )
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, and stop the worker."""
        self._stop(self.get_logger().info)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free, from any state."""
        self._stop(self.get_logger().info)
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free: the node is unconfigured after this."""
        self._stop(self.get_logger().info)
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop the worker before what it publishes with is gone."""
        self._stop(print)  # after a signal /rosout is gone already
        self._forwarder.close()
        super().destroy_node()

    def _stop(self, say: Callable[[str], object]) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline:
            say(pipeline.stop())

    def _free(self) -> None:
        if self._publisher:
            self.destroy_lifecycle_publisher(self._publisher)
            self._publisher = None
        if self._predictor:
            self._predictor = None
            _release_gpu_memory()


def _load(settings: parameters.Settings) -> Predictor:
    from cen_model.predictor import Deployment, Predictor  # imports PyTorch, which takes seconds

    # Not on demand: a build takes minutes, in which no label would come and the node could not be stopped.
    deployment = Deployment(
        settings.backend, settings.precision, settings.branch, cache=settings.engine_cache, on_demand=False
    )
    predictor = Predictor.load(settings.weights, settings.size, settings.device, deployment)
    predictor.prepare(settings.image_size)
    # The first run allocates and picks kernels; the first camera image should not wait for that.
    height, width = settings.image_size
    predictor.predict(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint16))
    return predictor


def _release_gpu_memory() -> None:
    """Give what PyTorch keeps for its next allocation back to the other processes on the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _answer_impossible_transitions(node: LifecycleNode) -> None:
    """Let `~/change_state` answer "no" to a transition that the present state does not have.

    Until Kilted rclpy raises instead, which ends the node (ros2/rclpy#1319).
    """
    service = node._service_change_state
    change_state = service.callback

    def guarded(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RuntimeError as error:  # RCLError
            node.get_logger().error(f"transition refused: {error}")
            response.success = False
            return response

    service.callback = guarded


def _exit_once(_number: int, _frame: FrameType | None) -> None:
    # Ctrl-C under `ros2 launch` arrives twice, from the terminal and from launch, and SIGTERM follows if the frame in
    # work takes long; what comes second must not break the end.
    # Not KeyboardInterrupt: after one in the midst of an import, Python may end with an error although it was caught.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(0)


def main(args: list[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_once)
    rclpy.init(args=args)
    try:
        node = SegmentationNode()
    except ParameterException as error:
        sys.exit(f"cen_segmentation: {error}")
    try:
        if node.get_parameter("autostart").value:
            node.autostart()
        rclpy.spin(node)
    except ExternalShutdownException:
        pass
    finally:
        node.destroy_node()
        shut_down()


if __name__ == "__main__":
    main()
