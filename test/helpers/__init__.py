# SPDX-License-Identifier: Apache-2.0
"""Helpers that several test files share; the folders beside this one mirror the packages."""
