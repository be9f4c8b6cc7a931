# SPDX-License-Identifier: Apache-2.0
"""Exact rewriting passes: each module changes an exported graph so that it computes the same with less work.

The modules here import `cen_model.deploy.graph` and each other; `cen_model.deploy.simplify` runs them in order.
"""
