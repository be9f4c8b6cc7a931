# SPDX-License-Identifier: Apache-2.0
"""Figures of a run's scaling factors, as the paper's Figures 3 to 5 and 11 to 13 show them, and Theorem 1.

The modules here import `cen_model.nn`, `cen_model.losses`, `cen_model.data`, `cen_model.training` and
`cen_model.evaluation`.
"""
