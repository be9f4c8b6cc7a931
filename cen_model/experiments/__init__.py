# SPDX-License-Identifier: Apache-2.0
"""Comparisons of networks: many training runs from one configuration, and their table.

The modules here import `cen_model.training` and `cen_model.evaluation`.
"""
