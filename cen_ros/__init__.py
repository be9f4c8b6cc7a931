# SPDX-License-Identifier: Apache-2.0
"""RGB-D semantic segmentation as a ROS 2 node: messages in, messages out; everything else is in cen_model."""
