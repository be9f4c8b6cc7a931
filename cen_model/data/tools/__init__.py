# SPDX-License-Identifier: Apache-2.0
"""Tools that check, convert and pack a dataset before training.

The modules here import `cen_model.data` and `cen_model.utils`; the command line `cen data` calls them.
"""
