# SPDX-License-Identifier: Apache-2.0
"""Recorded bags of ROS 1 and ROS 2, read and written without ROS, damaged ones as far as they can be read.

The modules here import `cen_ros.messages` and `cen_ros.errors`.
"""
