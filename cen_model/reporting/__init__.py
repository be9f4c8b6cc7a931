# SPDX-License-Identifier: Apache-2.0
"""Pictures, plots and HTML pages, for all reports of both packages.

The modules here import `cen_model.classes`, `cen_model.depth` and `cen_model.utils`; they draw what they are given
and measure nothing.
"""
