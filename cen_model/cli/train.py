# SPDX-License-Identifier: Apache-2.0
"""`cen train config/train/synthetic.yaml [key=value ...]`: train a network.

The same command continues a run that was interrupted, in whatever way. On several GPUs: hardware.devices=N, or
`torchrun --nproc-per-node N -m cen_model.train …`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from rich.console import Console

from cen_model.cli.arguments import as_parsed, with_config
from cen_model.training.loop import train
from cen_model.training.run_config import parse, parser_for
from cen_model.utils.process_settings import answered, keep_freed_memory, return_large_blocks
from cen_model.utils.ranks import Ranks


def main(arguments: Sequence[str]) -> int:
    console = Console(highlight=False, markup=False)
    arguments = with_config(arguments)
    config = parse(as_parsed(arguments, parser_for(arguments)))
    (return_large_blocks if config.hardware.recompute else keep_freed_memory)()
    try:
        with answered(signal.default_int_handler):
            if train(config, console) or config.dry_run:
                return 0
    except KeyboardInterrupt:  # before the first step, or after the last one was saved
        console.print("stopped; the same command continues", soft_wrap=True)
        return 130
    except MisconfigurationException as error:
        sys.exit(f"cen train: {error}")
    except torch.OutOfMemoryError as error:
        less = "optimizer.accumulate=2 (and more) or hardware.recompute=true need less memory"
        sys.exit(f"cen train: {error}; {less}")
    # Fabric takes any other answer than 0 of the processes that it started for a crash.
    if Ranks.current().rank:
        return 0
    console.print(f"stopped; the same command continues (output={config.output})", soft_wrap=True)
    return 130
