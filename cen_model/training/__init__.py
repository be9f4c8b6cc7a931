# SPDX-License-Identifier: Apache-2.0
"""Training runs: the loop, the two tasks, the optimizer, the saved state, the terminal's display.

The modules here import `cen_model.models`, `cen_model.losses`, `cen_model.data`, `cen_model.evaluation` and
`cen_model.reporting`.
"""
