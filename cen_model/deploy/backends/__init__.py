# SPDX-License-Identifier: Apache-2.0
"""Backends that compile and run an exported graph, one module each, and the choice among them.

The modules here import the backend's library when they are used, `cen_model.deploy` and `cen_model.utils`.
"""
