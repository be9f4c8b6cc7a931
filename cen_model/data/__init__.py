# SPDX-License-Identifier: Apache-2.0
"""Datasets, synthetic scenes and their transforms."""
