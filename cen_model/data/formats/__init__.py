# SPDX-License-Identifier: Apache-2.0
"""Datasets as they lie on people's disks, one module for each layout, and the reading of their files.

The modules here import `cen_model.data.dataset`, `cen_model.data.data_config`, `cen_model.classes` and
`cen_model.utils`.
"""
