# SPDX-License-Identifier: Apache-2.0
"""Groups of classes: files that say which classes of a network are one class for those who read its labels.

config/groups/nyu13.yaml shows the format, and each of its keys is explained there.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cen_model.classes import LABEL_SETS, VOID, merging
from cen_model.utils.files import find_configuration
from cen_model.utils.validation import look_up, unknown

KEYS = ("groups", "rest", "label_sets")
RESTS = ("other", "void")
FOLDER = "config/groups"


@dataclass(frozen=True)
class LabelGroups:
    """The groups of one network's classes.

    Attributes:
        names: of the groups; a label is an index into them.
        ids: for each class of the network, the label that it becomes, `VOID` where it becomes none.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def relabeled(self, labels: np.ndarray, name: str = "the truth") -> np.ndarray:
        """Return labels of groups, uint8 (...), for labels of classes, uint8 (...); void stays void.

        Args:
            name: what errors call the labels.

        Raises:
            ValueError: a label that is no class of the network.
        """
        beyond = labels[(labels >= len(self.ids)) & (labels != VOID)]
        if beyond.size:
            raise ValueError(
                f"{name} has label {beyond.max()}, but the groups are of {len(self.ids)} classes (0 to "
                f"{len(self.ids) - 1}, {VOID} = void)"
            )
        return merging(self.ids)[labels]


def read_groups(path_or_name: str | Path, classes: Sequence[str]) -> LabelGroups:
    """Read a file of groups for a network that tells these classes.

    Args:
        path_or_name: a file, or the name of one that comes with the package, such as nyu13.

    Raises:
        FileNotFoundError: neither such a file nor such a name; lists the names.
        ValueError: the file is wrong, or its groups do not fit the classes; file, group and class are named.
    """
    path = find_groups(path_or_name)
    try:
        described = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"label_groups {path}: not YAML that can be read: {error}") from error
    try:
        return _fit(*_checked(described), classes)
    except ValueError as error:
        raise ValueError(f"label_groups {path}: {error}") from error


def find_groups(path_or_name: str | Path) -> Path:
    """Return the file behind a path or the name of shipped groups. Raises FileNotFoundError that lists the names."""
    path = Path(path_or_name).expanduser()
    if path.is_file():
        return path
    try:
        return find_configuration(f"{FOLDER}/{path_or_name}.yaml")
    except FileNotFoundError:
        folder = find_configuration(f"{FOLDER}/nyu13.yaml").parent
        shipped = [each.stem for each in sorted(folder.glob("*.yaml"))]
        raise FileNotFoundError(f"label_groups {str(path_or_name)!r}: no such file, nor one of {shipped}") from None


class _Loader(yaml.SafeLoader):
    """YAML whose keys are not doubled: the last of two would win, and the first be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice; merge the two", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _checked(described: Any) -> tuple[dict[str, list[str]], str | None, list[str]]:
    """Return the groups, what the rest becomes, and the label sets, once they are known to be of the right types."""
    if not isinstance(described, Mapping):
        raise ValueError(f"expected the keys {', '.join(KEYS)}, got {described!r}")
    for key in described:
        if key not in KEYS:
            raise unknown("the key", str(key), KEYS)
    groups, rest = described.get("groups"), described.get("rest")
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError(f"groups: expected names with lists of classes, such as {{floor: [floor]}}, got {groups!r}")
    for name, members in groups.items():
        if not isinstance(name, str):
            raise ValueError(f"groups: expected text as the name of a group, got {name!r}; write it in quotes")
        _check_names(f"group {name!r}", members)
    if rest is not None and rest not in RESTS:
        raise ValueError(f"rest: expected {' or '.join(RESTS)}, got {rest!r}")
    label_sets = described.get("label_sets", [])
    if label_sets:
        _check_names("label_sets", label_sets)
    return dict(groups), rest, label_sets


def _check_names(place: str, names: Any) -> None:
    """Raise ValueError unless these are the items of a list of one or more texts."""
    if not isinstance(names, list) or not names:
        raise ValueError(f"{place}: expected a list of one or more names, such as [floor, floor mat], got {names!r}")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"{place}: expected names, got {name!r}; write it in quotes if it is one")


def _fit(
    groups: Mapping[str, Sequence[str]], rest: str | None, label_sets: Sequence[str], classes: Sequence[str]
) -> LabelGroups:
    """Return the groups of a network's classes, with the rest in its place."""
    owners = _owners(groups, label_sets, classes)
    remaining = [name for name in classes if name not in owners]
    if remaining and rest is None:
        raise ValueError(
            f"no group has {', '.join(remaining)}: put them in one, or write `rest: other` (a class of its own) or "
            f"`rest: void` (label {VOID})"
        )
    if rest in groups:
        raise ValueError(f"group {rest!r}: `rest` has this name; choose another one for the group")
    names = (*groups, rest) if remaining and rest == "other" else tuple(groups)
    ids = {name: number for number, name in enumerate(names)}
    return LabelGroups(names, tuple(ids.get(owners.get(name, "other"), VOID) for name in classes))


def _owners(groups: Mapping[str, Sequence[str]], label_sets: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """Return the group of each class that has one, once every group is known to have classes of the network."""
    sets = [look_up("label set", name, LABEL_SETS) for name in label_sets]
    known = dict.fromkeys([*classes, *(name for each in sets for name in each.names)])
    owners: dict[str, str] = {}
    for group, members in groups.items():
        for name in members:
            if name not in known:
                raise ValueError(f"group {group!r}: {unknown('class', name, known)}")
            if name in owners:
                raise ValueError(f"group {group!r}: class {name!r} is in {owners[name]!r} already; leave it in one")
            owners[name] = group
        if not set(members) & set(classes):
            raise ValueError(
                f"group {group!r}: the network tells none of {', '.join(members)}, but {', '.join(classes)}; choose "
                "groups of these, or none"
            )
    return owners
