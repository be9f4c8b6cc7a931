# SPDX-License-Identifier: Apache-2.0
"""A run's folder: what is written there, and when.

last.state.pt        everything that is needed to continue
last.safetensors     the network at that step, or its moving average
best.safetensors     the best at a validation; with data.include_validation the latest at one
gamma/<step>…        γ of every exchanging norm at the end of each epoch: float32 (M, C) by the layer's name
tensorboard/         losses, scores, learning rates, shares of exchanged channels, pictures
config.yaml          the configuration, every key
results.json         at the end: scores of the last weights on the test frames, and what they cost; see `finish`
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import yaml
from filelock import FileLock, Timeout
from lightning.fabric import Fabric
from safetensors.torch import save as serialize
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from torch import Tensor, nn

from cen_model import checkpoint
from cen_model.data.dataset import Dataset
from cen_model.evaluation.metrics import Measured
from cen_model.nn.exchange import exchanged_share, named_exchange_norms
from cen_model.nn.network import MultimodalNetwork
from cen_model.training.display import leading
from cen_model.training.run_config import AnyTrainConfig, plain
from cen_model.training.sharding import average_statistics
from cen_model.training.state import RunProgress, load_state, save_state
from cen_model.training.task import Task
from cen_model.utils.files import write_bytes_atomically, write_text_atomically
from cen_model.utils.ranks import Ranks

PICTURES = 4
STATE = "last.state.pt"
LAST, BEST = "last.safetensors", "best.safetensors"


class Run:
    """One training run in its folder; every process has one, the first of them writes.

    Its folder is its own in a `with` statement, which raises ValueError where another run is at work there.
    """

    def __init__(self, config: AnyTrainConfig, task: Task, fabric: Fabric) -> None:
        self.config, self.task, self.fabric = config, task, fabric
        self.folder = Path(config.output)
        self.progress = RunProgress()
        self._saved_at = time.monotonic()
        self._measured: tuple[object, Measured] | None = None
        self._lock = FileLock(self.folder / ".lock", timeout=0)

    def __enter__(self) -> Run:
        if self.fabric.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                raise ValueError(f"output: another run is at work in {self.folder}; choose another folder") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def begin(self) -> None:
        """Continue what the folder holds, or start there.

        Raises:
            ValueError: it holds a run of another configuration, or any run with `resume=false`.
        """
        state = self.folder / STATE
        if state.exists():
            if not self.config.resume:
                raise ValueError(
                    f"output: {self.folder} holds a run already; continue it with resume=true or choose another folder"
                )
            self.progress = load_state(state, self.task, self.config, self.fabric)
        steps = Ranks.current().each(self.progress.step)
        if len(set(steps)) > 1:
            raise ValueError(f"output: {self.folder} is at steps {steps} of {len(steps)} processes: let them share it")
        network = self.measured()
        if not self.fabric.is_global_zero:
            return
        for left in self.folder.rglob(".*.part"):  # by a process that was killed while it wrote
            left.unlink()
        text = yaml.safe_dump(plain(asdict(self.config)), sort_keys=False)
        write_text_atomically(self.folder / "config.yaml", text)
        self._save_gamma(network)
        if self.progress.step:
            if self._is_behind():
                self._save_last(network)
            self._forget_later_events()

    def log(self, terms: Mapping[str, Tensor]) -> None:
        """Losses, learning rates and the share of exchanged channels."""
        values = {f"loss/{name}": term.item() for name, term in terms.items()}
        for name, optimizer in self.task.optimizers.items():
            rates = {f"lr/{name}/{i}": group["lr"] for i, group in enumerate(optimizer.param_groups)}
            values |= rates
        values["exchanged"] = self.task.network.exchanged_share()
        self.fabric.log_dict(values, self.progress.step)

    def validate(self, dataset: Dataset, epoch: int) -> Measured:
        """Measure, log, and keep the network if it is the best so far."""
        network = self.measured()
        scores = self.scores(network, dataset)
        step, goodness = self.progress.step, self.task.goodness(scores)
        self.progress.validated = step
        if goodness > self.progress.best or self.config.data.include_validation:
            self.progress.best, self.progress.best_step = goodness, step
            self._save_network(BEST, network, {"epoch": str(epoch)})
        if self.fabric.is_global_zero:
            label = "mIoU" if self.config.task == "segmentation" else "MAE"
            self.fabric.log_dict({f"{label}/{name}": value for name, value in leading(scores).items()}, step)
            indices = range(min(PICTURES, len(dataset)))
            for index, picture in zip(indices, self.task.pictures(network, dataset, indices), strict=True):
                self.fabric.logger.experiment.add_image(f"frames/{index}", picture, step, dataformats="HWC")
        return scores

    def save(self) -> None:
        """The state, then the network that goes with it, its γ, and the share of exchanged channels by layer."""
        now = time.monotonic()
        self.progress.seconds += now - self._saved_at
        self._saved_at = now
        network = self.measured()
        save_state(self.folder / STATE, self.task, self.progress, self.config, self.fabric)
        self._save_last(network)
        if self.fabric.is_global_zero:
            self._save_gamma(network)
            self.fabric.log_dict(exchanged_by_layer(network), self.progress.step)
        self.fabric.barrier()  # nobody ends while the first process writes: Fabric would take it for a crash, and kill

    def is_due(self) -> bool:
        """Whether the last save was too long ago."""
        minutes = self.config.save_minutes
        return minutes is not None and time.monotonic() - self._saved_at > 60 * minutes

    def measured(self) -> MultimodalNetwork:
        """The network to be measured and written: the moving average where there is one; in every process at once."""
        if not self.config.optimizer.frozen_statistics:
            average_statistics([self.task.network, *filter(None, [self.task.average])], self.fabric)
        return self.task.average.module if self.task.average else self.task.whole()

    def scores(self, network: MultimodalNetwork, dataset: Dataset) -> Measured:
        """Of the weights of this step: frames that were measured at it are not measured again."""
        measured = self.progress.step, [dataset.describe(index) for index in range(len(dataset))]
        if self._measured is None or self._measured[0] != measured:
            self._measured = measured, self.task.measure(network, dataset)
        return self._measured[1]

    def _is_behind(self) -> bool:
        """Whether its network is not that of the state: the run was killed between the two, or the file was lost."""
        try:
            written = checkpoint.read_metadata(self.folder / LAST)
        except (OSError, ValueError):
            return True
        return written.get("step") != str(self.progress.step)

    def _save_last(self, network: MultimodalNetwork) -> None:
        self._save_network(LAST, network, {"step": str(self.progress.step)})

    def _save_network(self, name: str, network: MultimodalNetwork, metadata: Mapping[str, str]) -> None:
        if self.fabric.is_global_zero:
            checkpoint.save(self.folder / name, network, metadata, half=self.config.half_weights)

    def _forget_later_events(self) -> None:
        """Let TensorBoard drop what was logged after the state that is continued from: it comes again."""
        start = Event(step=self.progress.step + 1, session_log=SessionLog(status=SessionLog.START))
        self.fabric.logger.experiment.file_writer.add_event(start, start.step)

    def _save_gamma(self, network: MultimodalNetwork) -> None:
        gamma = {
            name: layer.scaling_factors().detach().float().cpu().contiguous()
            for name, layer in named_exchange_norms(network).items()
        }
        if gamma:
            path = self.folder / "gamma" / f"{self.progress.step:08d}.safetensors"
            write_bytes_atomically(path, serialize(gamma))


def exchanged_by_layer(model: nn.Module) -> dict[str, float]:
    """Share of the exchangeable channels that are replaced now, by layer."""
    return {f"exchanged/{name}": exchanged_share(layer) for name, layer in named_exchange_norms(model).items()}
