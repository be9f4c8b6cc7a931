# SPDX-License-Identifier: Apache-2.0
"""Small tools that every room uses: files, checks of user input, processes, devices, provenance.

The modules here import the standard library, NumPy and PyTorch, and nothing else of this project.
"""
