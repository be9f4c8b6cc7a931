# SPDX-License-Identifier: Apache-2.0
"""Programs around the node: demo, scorer, synthetic camera, players, recorder.

The modules here may import everything of `cen_ros` and `cen_model`; nothing imports them.
"""
