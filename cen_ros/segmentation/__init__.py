# SPDX-License-Identifier: Apache-2.0
"""The parts of the segmentation node: parameters, pairing of streams, worker, networks, outputs, diagnostics.

The modules here import `cen_ros.messages`, `cen_model.predictor` and what the predictor imports. `cen_ros.node`
assembles them.
"""
