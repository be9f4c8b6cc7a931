# SPDX-License-Identifier: Apache-2.0
"""What happened to the scaling factors of a run, as the paper's figures show it."""
