# SPDX-License-Identifier: Apache-2.0
"""The class names and colors of a network, or of groups of its classes, for those who read its labels.

python -m cen_ros.classes WEIGHTS [--label-groups nyu13] --json FILE.json --kimera FILE.csv
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from cen_model.classes import VOID, palette
from cen_model.config import from_json
from cen_model.label_groups import read_groups
from cen_model.utils.files import find_weights, write_text_atomically
from cen_model.utils.validation import look_up

KIMERA_LABELS = 21
"""How many labels Kimera-Semantics is compiled for (kTotalNumberOfLabels), its unknown one included."""


def class_map(classes: Sequence[str]) -> str:
    """JSON: {"classes": [{"id": 0, "name": "bed", "color": [r, g, b]}, …], "unlabeled": 255}."""
    entries = [
        {"id": k, "name": name, "color": color}
        for k, (name, color) in enumerate(zip(classes, palette(len(classes)).tolist(), strict=True))
    ]
    return json.dumps({"classes": entries, "unlabeled": VOID})


def class_ids(names: Iterable[str], classes: Sequence[str]) -> tuple[int, ...]:
    """Label ids of the named classes.

    Raises:
        ValueError: there is no such class; names the nearest ones.
    """
    ids = {name: k for k, name in enumerate(classes)}
    return tuple(look_up("class", name, ids) for name in names)


def label_info(classes: Sequence[str], header: Any = None, threshold: float = 0.0) -> Any:
    """vision_msgs/LabelInfo of the classes (255 is unlabeled by that message's own rule); None without vision_msgs.

    Args:
        header: std_msgs/Header; None leaves it empty.
        threshold: confidence, 0 to 1, below which a pixel has no label.
    """
    try:
        from vision_msgs.msg import LabelInfo, VisionClass
    except ImportError:
        return None
    msg = LabelInfo(class_map=[VisionClass(class_id=k, class_name=name) for k, name in enumerate(classes)])
    msg.threshold = float(threshold)
    if header is not None:
        msg.header = header
    return msg


def kimera_csv(classes: Sequence[str]) -> str:
    """Kimera-Semantics' table of colors; unlabeled is its unknown class, which is 0, and the others follow."""
    colors = palette(len(classes)).tolist()
    rows = [("unknown", 0, 0, 0, 255, 0)]
    # Its reader knows no quotes.
    rows += [(name.replace(",", " "), *colors[k], 255, k + 1) for k, name in enumerate(classes)]
    return "".join(",".join(map(str, row)) + "\n" for row in (("name", "red", "green", "blue", "alpha", "id"), *rows))


def read_classes(path_or_name: str | Path) -> tuple[str, ...]:
    """The class names in a checkpoint, or in shipped weights by their name; without PyTorch, which takes seconds.

    Raises:
        FileNotFoundError: neither such a file nor such a name; lists the names.
        ValueError: the file is damaged, or not a segmentation checkpoint of ours.
    """
    path = find_weights(path_or_name)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
        if "config" not in metadata:
            raise ValueError("it holds no configuration")
        config = from_json(metadata["config"])
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: expected a checkpoint of cen_model: {error}") from error
    if not hasattr(config, "classes"):
        raise ValueError(f"{path}: expected segmentation weights, got a {config.task} network, which has no classes")
    return config.classes


def main(argv: Sequence[str] | None = None) -> None:
    """Print the class map, or write the files that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m cen_ros.classes", description="Class names and colors of weights.")
    parser.add_argument("weights", help="a .safetensors file, or the name of shipped weights")
    parser.add_argument(
        *("--label-groups", "--label_groups"), metavar="FILE", help="the node's label_groups: a file, or nyu13, …"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write ids, names and colors as JSON")
    parser.add_argument("--kimera", type=Path, metavar="FILE", help="write Kimera-Semantics' CSV")
    arguments = parser.parse_args(argv)
    try:
        classes = read_classes(arguments.weights)
        if arguments.label_groups:
            classes = read_groups(arguments.label_groups, classes).names
        texts = {arguments.json: class_map(classes) + "\n", arguments.kimera: kimera_csv(classes)}
        for path in texts.keys() - {None}:
            write_text_atomically(path, texts[path])
    except (ValueError, OSError) as error:
        sys.exit(f"classes: {error}")
    if not (arguments.json or arguments.kimera):
        print(class_map(classes))
    if arguments.kimera and len(classes) + 1 > KIMERA_LABELS:
        print(
            f"Kimera-Semantics is compiled for {KIMERA_LABELS} labels; these are {len(classes) + 1}: raise its "
            "kTotalNumberOfLabels, or group them (--label-groups nyu13)",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
