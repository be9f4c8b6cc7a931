# SPDX-License-Identifier: Apache-2.0
"""How the parameters of every node here are declared: one that is given without a value has its default."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter


def declared(node: Node, name: str, default: Any, descriptor: ParameterDescriptor | None = None) -> Any:
    """Declare a parameter, and return its value: what it is given as, else its default.

    Raises rclpy's parameter exceptions where it is given another type or range.
    """
    given = node._parameter_overrides.get(name)  # rclpy itself would keep what is empty, and raise where it is read
    ignored = given is not None and is_empty(given)
    return node.declare_parameter(name, default, descriptor or ParameterDescriptor(), ignored).value


def is_empty(parameter: Parameter) -> bool:
    """Return whether a parameter has no value, which is what ROS makes of [] in a file, or an array of none."""
    kind = parameter.type_
    return kind == Parameter.Type.NOT_SET or (kind.name.endswith("_ARRAY") and len(parameter.value) == 0)
