# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to an engine: exact rewriting, backends, and the cache of what they built."""
