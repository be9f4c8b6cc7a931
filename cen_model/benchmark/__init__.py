# SPDX-License-Identifier: Apache-2.0
"""What a deployed network is measured against: the published way of computing, and the machine's own ceiling."""
