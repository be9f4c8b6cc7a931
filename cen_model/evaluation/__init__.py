# SPDX-License-Identifier: Apache-2.0
"""Scores of networks and engines on datasets, and their reports.

The modules here import `cen_model.predictor`, `cen_model.translator`, `cen_model.data` and `cen_model.reporting`.
"""
