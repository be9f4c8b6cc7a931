# SPDX-License-Identifier: Apache-2.0
"""Furnished rooms from a seed: geometry, materials, ray casting, light and sensors; see `cen_model.data.synthetic`."""
