# SPDX-License-Identifier: Apache-2.0
"""Conversion between ROS messages and arrays: images, compressed images, camera models, point clouds.

The modules here never import rclpy, so bags are read without ROS. They import `cen_model.classes`,
`cen_model.depth` and each other.
"""
