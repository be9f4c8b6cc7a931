# SPDX-License-Identifier: Apache-2.0
"""Contestants of the benchmark that tell the policy of their processes instead of being timed."""

from __future__ import annotations

from cen_model.benchmark.deployed import Deployed
from cen_model.benchmark.training_step import TrainingEntry
from helpers.allocator import policy


class TellingDeployed(Deployed):
    def prepare(self):
        return policy


class TellingTraining(TrainingEntry):
    def prepare(self):
        return policy
