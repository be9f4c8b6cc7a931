# SPDX-License-Identifier: Apache-2.0
"""Conversion of the checkpoints that the paper's authors published into this project's configurations and tensors.

The modules here import `cen_model.config` and `cen_model.nn`; `cen_model.checkpoint` calls them.
"""
