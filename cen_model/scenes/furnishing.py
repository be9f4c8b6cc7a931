# SPDX-License-Identifier: Apache-2.0
"""What stands in a room by its use: bedroom, living room, study, dining room or studio."""

from __future__ import annotations

import numpy as np

from cen_model.scenes import seats, storage
from cen_model.scenes.floorplan import Floorplan
from cen_model.scenes.items import Item, turn

Rng = np.random.Generator


def furnish(rng: Rng, plan: Floorplan) -> None:
    """Put the furniture of one randomly chosen use into the room."""
    _PROGRAMS[int(rng.integers(len(_PROGRAMS)))](rng, plan)


def _with_chair(rng: Rng, plan: Floorplan, item: Item) -> None:
    """A desk at a wall and a chair that faces it."""
    spot = plan.stand_at_wall(rng, item, front=0.75)
    if spot is not None:
        wall, point = spot
        pose = turn(wall * np.pi / 2)
        offset = pose @ np.array([rng.uniform(-0.2, 0.2), item.size[1] / 2 + rng.uniform(0.15, 0.4), 0.0])
        plan.add(seats.chair(rng), pose @ turn(np.pi + rng.normal(0, 0.35)), point + offset)


def _dining(rng: Rng, plan: Floorplan) -> None:
    """A table with chairs around it, somewhere on the floor."""
    round_top = rng.random() < 0.3
    width = rng.uniform(0.9, 1.2) if round_top else rng.uniform(1.2, 1.8)
    depth, height = width if round_top else rng.uniform(0.75, 0.95), rng.uniform(0.7, 0.78)
    table = storage.table(rng, width, depth, height)
    model, half = int(rng.integers(1 << 30)), np.array([width, depth]) / 2
    parts = list(table.parts)
    for x, y in ((0, -1), (0, 1), (-1, 0), (1, 0)) if round_top else ((-0.25, -1), (0.25, -1), (-0.25, 1), (0.25, 1)):
        if rng.random() < 0.85:
            chair = seats.chair(np.random.default_rng(model))
            away = np.array([x * width if y else x * (half[0] + 0.2), y * (half[1] + 0.15), 0.0])
            facing = turn(np.arctan2(x * (y == 0), -y) + rng.normal(0, 0.15))
            parts += chair.moved(facing, away)
    plan.place(rng, Item(parts, (width + 0.5, depth + 0.9, height)), clearance=0.0)


def _bedroom(rng: Rng, plan: Floorplan) -> None:
    plan.stand_at_wall(rng, seats.bed(rng), front=0.4)
    plan.stand_at_wall(rng, storage.wardrobe(rng), front=0.4)
    for maker in (storage.nightstand, storage.dresser, storage.bookshelf):
        if rng.random() < 0.7:
            plan.stand_at_wall(rng, maker(rng))
    if rng.random() < 0.6:
        _with_chair(rng, plan, storage.desk(rng))
    if rng.random() < 0.6:
        plan.stand_at_wall(rng, storage.tv_unit(rng))


def _living(rng: Rng, plan: Floorplan) -> None:
    spot = plan.stand_at_wall(rng, seats.sofa(rng), gap=rng.uniform(0.03, 0.2), front=0.9)
    if spot is not None and rng.random() < 0.8:
        pose = turn(spot[0] * np.pi / 2)
        low = storage.table(rng, rng.uniform(0.8, 1.2), rng.uniform(0.5, 0.7), rng.uniform(0.38, 0.5))
        plan.add(low, pose, spot[1] + pose @ np.array([rng.uniform(-0.3, 0.3), rng.uniform(0.9, 1.15), 0.0]))
    plan.stand_at_wall(rng, storage.tv_unit(rng), front=0.3)
    plan.stand_at_wall(rng, storage.bookshelf(rng))
    if rng.random() < 0.6:
        plan.stand_at_wall(rng, storage.dresser(rng))
    if rng.random() < 0.5:
        plan.stand_at_wall(rng, seats.sofa(rng), front=0.4)
    if rng.random() < 0.5:
        _dining(rng, plan)


def _study(rng: Rng, plan: Floorplan) -> None:
    for _ in range(int(rng.integers(1, 3))):
        _with_chair(rng, plan, storage.desk(rng))
    for _ in range(int(rng.integers(1, 4))):
        plan.stand_at_wall(rng, storage.bookshelf(rng))
    if rng.random() < 0.6:
        plan.stand_at_wall(rng, storage.dresser(rng))
    plan.stand_at_wall(rng, (seats.sofa if rng.random() < 0.5 else seats.bed)(rng), front=0.4)


def _dining_room(rng: Rng, plan: Floorplan) -> None:
    _dining(rng, plan)
    plan.stand_at_wall(rng, storage.dresser(rng))
    for maker in (storage.bookshelf, seats.sofa, storage.tv_unit, storage.wardrobe):
        if rng.random() < 0.5:
            plan.stand_at_wall(rng, maker(rng))


def _studio(rng: Rng, plan: Floorplan) -> None:
    plan.stand_at_wall(rng, seats.bed(rng), front=0.3)
    plan.stand_at_wall(rng, seats.sofa(rng), front=0.3)
    plan.stand_at_wall(rng, storage.tv_unit(rng), front=0.2)
    _with_chair(rng, plan, storage.desk(rng))
    for maker in (storage.bookshelf, storage.nightstand):
        plan.stand_at_wall(rng, maker(rng))


_PROGRAMS = (_bedroom, _bedroom, _living, _living, _study, _dining_room, _studio, _studio)
