# SPDX-License-Identifier: Apache-2.0
"""What the node takes beside the network."""
