# SPDX-License-Identifier: Apache-2.0
"""Measurement of what the node takes beside the network: latency, processor time and memory.

The modules here import `cen_ros.node`, `cen_ros.segmentation`, `cen_ros.messages` and `cen_ros.tools`.
"""
