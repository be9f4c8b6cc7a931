# SPDX-License-Identifier: Apache-2.0
"""The segmentation node: RGB and depth topics in, label images out; a managed (lifecycle) node.

python -m cen_ros.node --ros-args -r rgb/image:=/camera/color/image_raw -r depth/image:=/camera/depth/image_raw \\
    -r rgb/camera_info:=/camera/color/camera_info
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from cen_model.utils.process_settings import keep_freed_memory
from cen_ros.context import running
from cen_ros.errors import words
from cen_ros.segmentation import networks, parameters
from cen_ros.segmentation.diagnostics import Diagnostics
from cen_ros.segmentation.input_topics import refuse_shared_topics
from cen_ros.segmentation.logs import LogForwarder
from cen_ros.segmentation.networks import Networks
from cen_ros.segmentation.outputs import Outputs
from cen_ros.segmentation.pipeline import Pipeline
from cen_ros.segmentation.settings import Settings, live, problems, settings


class SegmentationNode(LifecycleNode):
    """Publishes `~/label` (mono8 class ids with the header of the RGB image), and more, for each RGB-D pair.

    Configured it holds the network, active it also listens.

    Args:
        load: makes the networks of a configuration.
        options: of rclpy's node, such as `namespace` and `parameter_overrides`, where it shares a process with others.
    """

    def __init__(self, load: Callable[[Settings], Networks] = networks.load, **options: Any):
        super().__init__("cen_segmentation", **options)
        parameters.declare(self)
        self._load = load
        self._forwarder = LogForwarder("cen_model.deploy", self.get_logger())
        self._networks: Networks | None = None
        self._outputs: Outputs | None = None
        self._pipeline: Pipeline | None = None
        self._diagnostics: Diagnostics | None = None
        # Once a change is agreed upon by all; before Iron as the last of those who agree, which rclpy asks in reverse.
        take_up = getattr(self, "add_post_set_parameters_callback", self.add_on_set_parameters_callback)
        take_up(self._take_up)
        self.add_on_set_parameters_callback(self._on_set)
        if hasattr(self, "add_pre_set_parameters_callback"):  # since Iron
            self.add_pre_set_parameters_callback(parameters.with_defaults)
        _answer_impossible_transitions(self)

    def autostart(self) -> None:
        """Configure and, if that succeeds, activate."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and run it once; stay unconfigured, with the reason logged, where that fails."""
        failure = ""
        try:
            values = parameters.values_of(self)
            self._settings = settings(values)
            refuse_shared_topics(self, self._settings)
            self.get_logger().info(f"loading {self._settings.weights}")
            self._networks = self._load(self._settings)
            self._outputs = Outputs(self, self._settings, live(values), self._networks.classes)
        except Exception as error:  # whatever it is: rclpy would swallow it, and the user has to read it
            failure = words(error)
        if failure:  # only here, where nothing of the error refers any more to what is to be freed
            self.get_logger().error(f"not configured: {failure}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f"{len(self._networks.classes)} classes, with {self._networks}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and start the worker; back to unconfigured, with the reason logged, where that fails."""
        try:
            result = super().on_activate(state)  # from here on the publishers publish
            if result != TransitionCallbackReturn.SUCCESS:
                return result
            self._outputs.announce()
            now = live(parameters.values_of(self))
            self._pipeline = Pipeline(self, self._networks, self._outputs, self._settings, now)
            self._diagnostics = Diagnostics(self, self._pipeline, self._networks, self._settings)
        except Exception as error:  # whatever it is: rclpy would swallow it, and the user has to read it
            self.get_logger().error(f"not activated: {words(error)}")
            return TransitionCallbackReturn.ERROR
        self.get_logger().info(
            f"listening to {' and '.join(self._pipeline.topics)} (sync_slop {now.slop_ns / 1e6:g} ms), "
            f"labels on {self._outputs.topic('label')}"
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
        self._stop(self.get_logger().info if self.context.ok() else print)  # after a signal /rosout is gone already
        self._free()
        self._forwarder.close()
        super().destroy_node()

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse what cannot be used, in words, and change nothing yet."""
        try:
            before = parameters.values_of(self)
            values = _changed(before, changes)
            # What was wrong before is not this change's fault; else two wrong values could not be mended one by one.
            known = problems(before)
            if new := [problem for problem in problems(values) if problem not in known]:
                raise ValueError("; ".join(new))
            now = live(values)
            if self._outputs:
                self._outputs.checked(now)
        except Exception as error:  # whatever it is: rclpy would let it end the process
            return SetParametersResult(successful=False, reason=words(error))
        return SetParametersResult(successful=True)

    def _take_up(self, changes: list[Parameter]) -> SetParametersResult:
        """Use at once what may change while the node is active, and was found good."""
        now = live(_changed(parameters.values_of(self), changes))
        if self._outputs:
            self._outputs.change(now)
        if self._pipeline:
            self._pipeline.change(now)
        return SetParametersResult(successful=True)

    def _stop(self, say: Callable[[str], object]) -> None:
        # A signal may come in the midst of it, and destroy_node then does it again: nothing is forgotten too early.
        if self._diagnostics:
            self._diagnostics.stop()
            self._diagnostics = None
        if self._pipeline:
            say(self._pipeline.stop())
            self._pipeline = None

    def _free(self) -> None:
        if self._outputs:
            self._outputs.destroy()
        self._outputs = self._networks = None
        networks.release_memory()


def _changed(values: dict[str, Any], changes: list[Parameter]) -> dict[str, Any]:
    return {**values, **{change.name: change.value for change in changes}}


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


def main(args: list[str] | None = None, load: Callable[[Settings], Networks] = networks.load) -> None:
    """Run the node until SIGINT or SIGTERM."""
    keep_freed_memory()
    with running(args) as interrupts:
        try:
            node = SegmentationNode(interrupts.interruptible()(load))
        except ParameterException as error:
            sys.exit(f"cen_segmentation: {error}")
        try:
            if node.get_parameter("autostart").value:
                node.autostart()
            rclpy.spin(node)
        finally:
            node.destroy_node()


if __name__ == "__main__":
    main()
