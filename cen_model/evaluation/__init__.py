# SPDX-License-Identifier: Apache-2.0
"""Measuring networks on datasets: how they are run, what is counted, and the report of it."""
