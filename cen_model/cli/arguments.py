# SPDX-License-Identifier: Apache-2.0
"""What command lines have in common."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from typing import get_args, get_origin, get_type_hints


def height_width(text: str) -> tuple[int, int]:
    """(height, width) of "480x640"; a type for `add_argument`."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected height and width in pixels, such as 480x640, got {text!r}")
    return int(match[1]), int(match[2])


def tuple_fields(*classes: type) -> set[str]:
    """Names of the dataclasses' fields that hold tuples, or tuples or None."""
    hints = {name: hint for each in classes for name, hint in get_type_hints(each).items()}
    return {name for name, hint in hints.items() if tuple in (get_origin(hint), *map(get_origin, get_args(hint)))}


def as_jsonargparse(arguments: Sequence[str], lists: Collection[str]) -> list[str]:
    """A command line as people write it, as jsonargparse reads it.

    Names of options may have dashes for underscores. Behind options whose values are lists, the brackets may be missing
    ("depth", "rgb,depth"), and height and width may be written 480x640.

    Args:
        lists: names of these options, without what groups them ("size" for --size and --synthetic.size).
    """
    written, name = [], ""
    for text in arguments:
        if text.startswith("--"):
            name, equals, value = text.partition("=")
            name = "--" + name[2:].replace("-", "_")
            written.append(name + equals + (_value(value, name, lists) if equals else ""))
            name = "" if equals else name
        else:
            written.append(_value(text, name, lists))
            name = ""
    return written


def _value(text: str, option: str, lists: Collection[str]) -> str:
    is_list = option.removeprefix("--").rpartition(".")[-1] in lists
    if not is_list or text.startswith("[") or text in ("", "null"):
        return text
    items = re.sub(r"^(\d+)x(\d+)$", r"\1,\2", text)
    return f"[{items}]"
