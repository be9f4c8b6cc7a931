# SPDX-License-Identifier: Apache-2.0
"""Recorded bags, read and written without ROS."""
