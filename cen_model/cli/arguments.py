# SPDX-License-Identifier: Apache-2.0
"""The dialect of arguments that all commands share, whether argparse or jsonargparse reads them.

Names of options take dashes or underscores, `key=value` is `--key=value`, and `~/` is the home folder. Lists need no
brackets, sizes are written 480x640, and flags need no value. A mistyped option brings the nearest names.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from cen_model.utils.validation import unknown

_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}

Options = Mapping[str, argparse.Action]
"""A parser's options by their names with underscores, such as "--input_size"."""


def height_width(text: str) -> tuple[int, int]:
    """Return (height, width) of "480x640", "480,640" or "[480,640]"; a type for `add_argument`."""
    match = re.fullmatch(r"\[?([1-9]\d*)(?:x|, ?)([1-9]\d*)\]?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"expected height and width in pixels, such as 480x640, got {text!r}")
    return int(match[1]), int(match[2])


def with_config(arguments: Sequence[str]) -> list[str]:
    """Return a command line in which `--config` names the file that stands first."""
    is_file = arguments and not arguments[0].startswith("-") and "=" not in arguments[0]
    return ["--config", *arguments] if is_file else list(arguments)


def as_parsed(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Return a command line of the dialect as `parser` reads it.

    An unknown option ends the program with exit status 2 and a message that lists the nearest names.
    """
    options = {_underscored(name): action for action in parser._actions for name in action.option_strings}
    has_positionals = any(not action.option_strings for action in parser._actions)
    written, waiting = [], list(arguments)
    while waiting:
        text = waiting.pop(0)
        if subcommand := _subcommands(parser).get(text):
            return [*written, text, *as_parsed(waiting, subcommand)]
        key, equals, value = text.partition("=")
        key = _underscored(key)
        if not _is_option(text, key, options, has_positionals):
            written.append(_at_home(text))
            continue
        name = _full_name("--" + key.removeprefix("--"), options, parser)
        action = options.get(name)
        values = [value] if equals else _take_values(waiting, action)
        written += _written(name, values, action, joined=bool(equals))
    return written


def _underscored(text: str) -> str:
    """Return a name with underscores for dashes, but for those that it starts with."""
    dashes = re.match("-*", text)[0]
    return dashes + text[len(dashes) :].replace("-", "_")


def _subcommands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return found[0] if found else {}


def _is_option(text: str, key: str, options: Options, has_positionals: bool) -> bool:
    """Tell whether an argument is `--key`, `--key=value` or `key=value`, and no value that stands alone."""
    if text.startswith("-"):
        return text.startswith("--") and text != "--"
    is_pair = "=" in text and re.fullmatch(r"[\w.]+\+?", key)
    return bool(is_pair) and (not has_positionals or _is_known("--" + key, options))


def _is_known(name: str, options: Options) -> bool:
    """Tell whether an option exists, or one whose value is a dataclass that may have a field of this name."""
    name = name.removesuffix("+")  # jsonargparse's way to append to a list
    return name in options or any(name.startswith(f"{option}.") for option in options if _hint(options[option]))


def _full_name(name: str, options: Options, parser: argparse.ArgumentParser) -> str:
    if _is_known(name, options):
        return name
    longer = [option for option in options if option.startswith(name)]
    if len(longer) != 1:
        parser.exit(2, f"{parser.prog}: {unknown('option', name, options)}\n")
    return longer[0]


def _take_values(waiting: list[str], action: argparse.Action | None) -> list[str]:
    """Remove the values of an option from the arguments that follow the option, and return these values."""
    taken: list[str] = []
    most = len(waiting) if action and action.nargs == "+" else 1
    if action and action.nargs in (0, 1) and not _is_flag(action):  # 1: the value of --print_config is joined to it
        most = 0
    while len(taken) < most and waiting and not waiting[0].startswith("--"):
        if _is_flag(action) and waiting[0].lower() not in _BOOLEANS:
            break
        taken.append(waiting.pop(0))
    return taken


def _is_flag(action: argparse.Action | None) -> bool:
    return isinstance(action, argparse._StoreTrueAction) or _hint(action) is bool


def _hint(action: argparse.Action | None) -> Any:
    """Return the type of a value that jsonargparse reads, None for argparse's own actions."""
    return getattr(action, "_typehint", None)


def _written(name: str, values: Sequence[str], action: argparse.Action | None, joined: bool) -> list[str]:
    """Return an option and its values in the spelling of the parser."""
    own = next((own for own in (action.option_strings if action else ()) if _underscored(own) == name), name)
    if _is_flag(action):
        return _written_flag(own, values[0] if values else "true", isinstance(action, argparse._StoreTrueAction))
    hint = _hint(action)
    if {get_origin(each) for each in (hint, *get_args(hint))} & {tuple, list}:
        values = [_bracketed(value) for value in values]
    elif action and action.nargs == "+":
        values, joined = [item for value in values for item in _items(value, action)], False
    values = [_at_home(value) for value in values]
    return [f"{own}={values[0]}"] if joined else [own, *values]


def _written_flag(name: str, value: str, is_bare: bool) -> list[str]:
    chosen = _BOOLEANS.get(value.lower())
    if is_bare and chosen is not None:
        return [name] if chosen else []
    return [f"{name}={value if chosen is None else str(chosen).lower()}"]


def _bracketed(value: str) -> str:
    """Return a list in brackets, height and width of "480x640" too."""
    if value.startswith("[") or value in ("", "null"):
        return value
    return "[" + re.sub(r"^(\d+)x(\d+)$", r"\1,\2", value) + "]"


def _items(value: str, action: argparse.Action) -> list[str]:
    """Return the items of a list for an option that takes one after the other."""
    if action.type is height_width and "x" not in value:
        return [value]
    return re.split(", *", value.removeprefix("[").removesuffix("]"))


def _at_home(value: str) -> str:
    return str(Path(value).expanduser()) if value.startswith("~/") else value
