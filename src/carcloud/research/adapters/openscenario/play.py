"""Playing a scenario: its storyboard from the beginning to its end, and the motion that comes of it.

Rules:
* It is played in steps of FINE_S at most and written down every STEP_S, or as its parameter `Step_s` says.
* It ends by its stop trigger, else when its stories are over; where neither comes, after LIMIT_S or UNTOLD_S.
* Velocities and accelerations are those of the positions, by central differences, apart at every jump.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import LIMIT_PLACES, LIMIT_STEPS, LIMIT_USERS
from carcloud.research.adapters.openscenario import actions
from carcloud.research.adapters.openscenario.catalogs import Catalogs
from carcloud.research.adapters.openscenario.entities import Entity, read_entities, selections
from carcloud.research.adapters.openscenario.ground import Ground
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.positions import place_of
from carcloud.research.adapters.openscenario.stage import Stage
from carcloud.research.adapters.openscenario.storyboard import Storyboard
from carcloud.research.adapters.sightings import slope
from carcloud.research.motion import Motion, RoadUser, at_steps, wrapped

STEP_S = 0.1
FINE_S = 0.02
LIMIT_S = 900.0
"""The end of a scenario whose stop trigger never fires."""
UNTOLD_S = 120.0
"""The end of a scenario without a stop trigger whose stories are never over."""
STEP_PARAMETER = "Step_s"

Row = tuple[float, float, float, float, int]
"""x, y, z in metres and yaw in radians of the middle of a box, and how often it has jumped."""


class Play:
    """One playing of a scenario.

    Args:
        root: of the scenario, with its parameters.
        folder: where it lies.
        ground: its roads.
    """

    def __init__(self, root: Node, folder: Path, ground: Ground) -> None:
        self._root = root
        self.step_s = _step(root.values)
        self._fine = max(1, math.ceil(self.step_s / FINE_S - 1e-9))
        catalogs, notes = Catalogs(folder, root), list[str]()
        self.entities = list(read_entities(root, catalogs, notes))
        names = [one.name for one in self.entities]
        if len(set(names)) != len(names) or not names:
            raise InputError("The scenario has no entities, or two of one name.", "Give each a name of its own.")
        if len(names) > LIMIT_USERS:
            raise InputError(f"The scenario has {len(names)} entities.", f"At most {LIMIT_USERS} may be.")
        self.stage = Stage(self.entities, selections(root), ground, catalogs, root.values, self.step_s / self._fine)
        for note in notes:
            self.stage.note(note)
        self._variables()
        board = root.child("Storyboard")
        self._init = _init_actions(board)
        self._board = Storyboard(board, self.stage)

    def run(self) -> Motion:
        """Play, and return the motion of all who were ever there."""
        self._place()
        self._board.begin()
        rows: list[list[Row | None]] = [[] for _ in self.entities]
        ends = False
        while True:
            ends = self._board.ask() or ends
            whole = self.stage.ticks % self._fine == 0
            if whole:
                self._write(rows)
            if (ends or self._over()) and whole:
                return self._motion(rows)
            self.stage.move()

    def _over(self) -> bool:
        if self._board.can_end:
            late = self.stage.time >= LIMIT_S - 1e-9
        else:
            late = self._board.over or self.stage.time >= UNTOLD_S - 1e-9
        if late and not self._board.over:
            self.stage.note(f"cut at {self.stage.time:.0f} s: its end never came")
        return late

    def _variables(self) -> None:
        section = self._root.find("VariableDeclarations")
        for one in section.children("VariableDeclaration") if section is not None else ():
            self.stage.variables[one.text("name")] = one.text("value")

    def _place(self) -> None:
        """Do what is due before the beginning: places first, those relative to others after them."""
        waiting = [pair for pair in self._init if pair[0].tag == "TeleportAction"]
        while waiting:
            later = [(leaf, who) for leaf, who in waiting if not self._placed(leaf, who)]
            if len(later) == len(waiting):
                place_of(later[0][0].child("Position"), self.stage)
                raise InputError("Entities are placed by each other in a ring.", "Place one of them by itself.")
            waiting = later
        for leaf, who in self._init:
            if leaf.tag != "TeleportAction":
                bodies = [body for name in who for body in self.stage.named(name, leaf)]
                actions.begin(leaf, bodies, self.stage, before_all=True)

    def _placed(self, leaf: Node, who: tuple[str, ...]) -> bool:
        position = leaf.child("Position").only()
        name = position.get("entityRef")
        if name is not None and not self.stage.body(name, position).present:
            return False
        actions.begin(leaf, [body for one in who for body in self.stage.named(one, leaf)], self.stage)
        return True

    def _write(self, rows: list[list[Row | None]]) -> None:
        if len(rows[0]) >= LIMIT_STEPS or len(rows) * len(rows[0]) >= LIMIT_PLACES:
            raise InputError(f"The scenario takes more than {LIMIT_STEPS} steps.", "Shorten it, or widen Step_s.")
        for row, body in zip(rows, self.stage.bodies.values(), strict=True):
            if not body.present:
                row.append(None)
                continue
            x, y = body.middle()
            up = body.entity.centre[2]
            row.append((x, y, body.z + up, body.heading, self.stage.jumps[body.entity.name]))

    def _motion(self, rows: list[list[Row | None]]) -> Motion:
        kept = [at for at, row in enumerate(rows) if any(row)]
        if not kept:
            raise InputError("Nobody is ever placed in the scenario.", "Give an entity a TeleportAction.")
        users = tuple(_user(track, self.entities[at]) for track, at in enumerate(kept))
        steps = len(rows[0])
        time_us = np.rint(np.arange(steps) * self.step_s * 1e6).astype(np.int64)
        columns = at_steps(users, steps)
        for track, at in enumerate(kept):
            for begin, part in _stretches(rows[at]):
                _fill(columns, track, begin, part, self.step_s)
        return Motion(users=users, time_us=time_us, present=np.isfinite(columns["x"]), **columns)

    def ego(self, motion: Motion) -> int | None:
        """Return the track of who is driven from outside, or is called ego; None where there is none."""
        driven = [user.track for user in motion.users if user.name in self.stage.driven]
        called = [user.track for user in motion.users if user.name.lower() == "ego"]
        both = [track for track in called if track in driven]
        return next(iter(both or driven or called), None)


def _step(values: Mapping[str, str]) -> float:
    try:
        step = float(values.get(STEP_PARAMETER, STEP_S))
    except ValueError:
        step = math.nan
    if not 0.001 <= step <= 10:
        raise InputError(f"The parameter {STEP_PARAMETER} is no time between 0.001 s and 10 s.", "Correct it.")
    return step


def _init_actions(board: Node) -> list[tuple[Node, tuple[str, ...]]]:
    found: list[tuple[Node, tuple[str, ...]]] = []
    for one in board.child("Init").child("Actions").children():
        if one.tag == "Private":
            who = (one.text("entityRef"),)
            found += [(leaf, who) for action in one.children("PrivateAction") for leaf in actions.leaves(action)]
        else:
            found += [(leaf, ()) for leaf in actions.leaves(one)]
    return found


def _user(track: int, entity: Entity) -> RoadUser:
    return RoadUser(track, entity.name, entity.kind, entity.length, entity.width, entity.height)


def _stretches(rows: list[Row | None]) -> Iterator[tuple[int, list[Row]]]:
    """Yield where each stretch without a gap or a jump begins, and its rows."""
    begin = 0
    for jump, part in groupby(rows, lambda row: -1 if row is None else row[4]):
        found = list(part)
        if jump >= 0:
            yield begin, [row for row in found if row is not None]
        begin += len(found)


def _fill(columns: dict[str, NDArray[np.float64]], track: int, begin: int, part: list[Row], step_s: float) -> None:
    table = np.array(part, np.float64).T
    x, y = table[0:1], table[1:2]
    vx, vy = slope(x, step_s), slope(y, step_s)
    told = {"x": x, "y": y, "z": table[2:3], "yaw": wrapped(table[3:4]), "vx": vx, "vy": vy}
    told |= {"ax": slope(vx, step_s), "ay": slope(vy, step_s)}
    for name, numbers in told.items():
        columns[name][track, begin : begin + len(part)] = numbers[0]
