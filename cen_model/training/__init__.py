# SPDX-License-Identifier: Apache-2.0
"""The parts of `cen_model.train`: the two tasks, what is saved, what is shown, what stops a run."""
