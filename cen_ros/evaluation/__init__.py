# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a network on recorded bags; `cen_ros.evaluate_bag` is the command. No ROS is needed."""
