# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a network on recorded bags, without ROS: agreement with the truth, flicker, time, and the report.

`cen_ros.evaluate_bag` is the program. The modules here import `cen_ros.bags`, `cen_ros.messages`,
`cen_ros.segmentation.sync`, `cen_model.predictor`, `cen_model.evaluation` and `cen_model.reporting`.
"""
