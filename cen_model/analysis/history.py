# SPDX-License-Identifier: Apache-2.0
"""γ of a run over its training, as the run wrote it.

Axes: T steps, M modalities, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from cen_model import checkpoint
from cen_model.nn.exchange import named_exchange_norms
from cen_model.nn.network import MultimodalNetwork


@dataclass(frozen=True)
class History:
    """Attributes:
    name: of the run.
    network: its last weights.
    steps: int (T,).
    gamma: float32 (T, M, C) of every exchanging norm, by its name.
    penalized: bool (M, C), γ̂, by the norm's name.
    """

    name: str
    network: MultimodalNetwork
    steps: np.ndarray
    gamma: dict[str, np.ndarray]
    penalized: dict[str, np.ndarray]

    @property
    def threshold(self) -> float:
        """θ."""
        return self.network.config.exchange.threshold


def read(run: Path) -> History:
    """The history of a run's folder; of one that goes on, or was stopped, with its last weights as the last step.

    Raises:
        FileNotFoundError: there is no such run, or it has no exchanging norms.
    """
    files = sorted((run / "gamma").glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{run / 'gamma'}: no scaling factors; is {run} the folder of a run with exchange?")
    network = checkpoint.load(run / "last.safetensors")
    steps, each = [int(file.stem) for file in files], [load_file(file) for file in files]
    # A file of safetensors is in alphabetical order; the network knows the layers' own.
    layers = named_exchange_norms(network)
    last = int(checkpoint.read_metadata(run / "last.safetensors").get("step", steps[-1]))
    if last > steps[-1]:
        steps.append(last)
        each.append({name: layer.scaling_factors().detach().numpy() for name, layer in layers.items()})
    return History(
        run.name,
        network,
        np.array(steps),
        {name: np.stack([tensors[name] for tensors in each]) for name in layers},
        {name: layer.penalized_MC.numpy() for name, layer in layers.items()},
    )
