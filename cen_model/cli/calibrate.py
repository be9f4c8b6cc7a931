# SPDX-License-Identifier: Apache-2.0
"""`cen calibrate FILE [--dataset nyudv2 --root FOLDER]`: fit the temperature of a network on validation frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, set_parsing_settings

from cen_model import checkpoint
from cen_model.cli.arguments import as_parsed
from cen_model.cli.evaluate import SKIPPED
from cen_model.data.catalog import open_dataset
from cen_model.data.data_config import DataConfig, Split
from cen_model.evaluation.dataset_scores import refuse_other_classes
from cen_model.evaluation.temperature import fit_temperature, measure, sample_logits
from cen_model.utils.devices import default_device
from cen_model.utils.files import expand_home

DESCRIPTION = """\
Fit the temperature of a network on validation frames, and write it into its file: the probability of a label is then
how often such labels are right. Labels stay what they are."""
EXAMPLE = "example: cen calibrate my.safetensors --dataset nyudv2 --root FOLDER"


def main(arguments: Sequence[str]) -> None:
    """Fit the temperature of a checkpoint file, print what it changes, and write it into the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no segmentation network, or not of the dataset's classes.
    """
    file, data, split = _parse(arguments)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; expected a checkpoint, into which the temperature is written")
    model = checkpoint.load(file).to(default_device())
    if model.config.task != "segmentation":
        raise ValueError(f"{file}: expected a segmentation network, got one for {model.config.task}")
    dataset = open_dataset(data, split, model.config.modalities)
    refuse_other_classes(model.config.classes, dataset)
    logits, truth = sample_logits(model, dataset, data)
    fitted = fit_temperature(logits, truth)
    print(f"{len(truth)} pixels of {len(dataset)} frames of {data.dataset} ({split}):")
    for temperature in (model.config.temperature, fitted):
        likelihood, error = measure(logits, truth, temperature)
        print(
            f"temperature {temperature:g}: negative log-likelihood {likelihood:.4f}, "
            f"calibration error (ECE) {100 * error:.1f} %"
        )
    checkpoint.set_temperature(file, fitted)
    print(f"written: {file}")


def _parse(arguments: Sequence[str]) -> tuple[Path, DataConfig, Split]:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="cen calibrate", description=DESCRIPTION, epilog=EXAMPLE)
    parser.add_argument("file", type=Path, help="a checkpoint of yours")
    parser.add_class_arguments(DataConfig, skip=SKIPPED)
    parser.add_argument("--split", type=Split, default="validation", help="of the dataset; not the one to be reported")
    values = vars(parser.instantiate(parser.parse_args(as_parsed(arguments, parser))))
    file, split = values.pop("file"), values.pop("split")
    return expand_home(file), expand_home(DataConfig(**values)), split
