# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed and memory, in inference and in training, beside the published way of computing.

The modules here import `cen_model.predictor`, `cen_model.deploy`, `cen_model.data` and `cen_model.training`.
"""
