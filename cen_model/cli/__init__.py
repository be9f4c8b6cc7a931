# SPDX-License-Identifier: Apache-2.0
"""The command line `cen`: one module for each command, and the dialect of arguments that all of them share.

The modules here may import everything of `cen_model`. Nothing imports them but the doors `cen_model.train`,
`cen_model.evaluate`, `cen_model.deploy` and `cen_model.checkpoint`, where Python runs these as programs.
"""
