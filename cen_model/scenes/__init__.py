# SPDX-License-Identifier: Apache-2.0
"""Synthetic furnished rooms with exact labels: geometry, materials, ray casting, light and sensor faults.

`scene_dataset` gives the rooms to training as a dataset, `tour` gives a camera's walk through them to ROS.
The modules here import `cen_model.classes` and `cen_model.utils`.
"""
