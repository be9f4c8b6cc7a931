# SPDX-License-Identifier: Apache-2.0
"""Losses of segmentation (paper § 3.1, Eq. 4) and of image-to-image translation (§ 4.2).

The modules here import `cen_model.nn`, `cen_model.modalities` and `cen_model.classes`.
"""
