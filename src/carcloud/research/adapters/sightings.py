"""Sightings: single places of road users, as most formats give them, and the motion they make together.

Rules:
* The steps are even. Times that lie within 2 % of a step beside even ones are moved onto them; where they lie further
  off, every track is drawn straight from one sighting to the next, over 2.5 steps at most, and read at even times.
* A road user without a sighting for longer is not present meanwhile; nothing is made up over a gap.
* What a source does not say is derived: yaw from the path within half a second to both sides, kept while the road user
  stands; velocity from position, acceleration from velocity, both by central differences.
* Speeds must fit the positions, and nobody is faster than 150 m/s: else a unit is wrong, and the scenario is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import LIMIT_PLACES, LIMIT_STEPS, LIMIT_USERS
from carcloud.research.adapters.steps import Steps, even_steps, on_steps
from carcloud.research.motion import SIZES, Motion, RoadUser, wrapped

LIMIT_SPEED_MPS = 150.0
"""Faster is no road user but a wrong unit, or a jump from one place to another."""
FIT = (0.7, 1.4)
"""What a source's speed may be of the speed that its positions make, in the middle of all."""
FIT_FROM_MPS = 2.0
YAW_SPAN_S = 0.5
YAW_PATH_M = 0.3
"""A path shorter than that says nothing about where a road user heads."""

NUMBERS = ("x", "y", "z", "yaw", "vx", "vy", "ax", "ay", "speed")

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """A road user as its source tells of it; a size of 0 or NaN is not known."""

    name: str
    kind: str = "car"
    length: float = 0.0
    width: float = 0.0
    height: float = 0.0

    def user(self, track: int) -> RoadUser:
        """Return the road user, of the usual size where none is known."""
        told = (self.length, self.width, self.height)
        sizes = [
            one if np.isfinite(one) and one > 0 else usual for one, usual in zip(told, SIZES[self.kind], strict=True)
        ]
        return RoadUser(track, self.name, self.kind, *sizes)


@dataclass(frozen=True)
class Gathered:
    """The motion, and what could not be used: one sentence each."""

    motion: Motion
    left_out: tuple[str, ...]
    begin_us: int

    def track(self, name: str) -> int | None:
        """Return the track number of a road user by the name in its source; None where there is none."""
        return next((user.track for user in self.motion.users if user.name == name), None)


def gather(
    seen: Sequence[Seen],
    who: NDArray[np.int64],
    time_us: NDArray[np.int64],
    told: Mapping[str, Numbers],
    also_us: Sequence[int] = (),
) -> Gathered:
    """Return the motion that sightings make.

    Args:
        seen: V road users.
        who: (N,) places in `seen`.
        time_us: (N,) microseconds, of any origin.
        told: (N,) columns of NUMBERS, of which x and y must be there; NaN where not known. `speed` is along the yaw.
        also_us: times at which the source looked, whoever it saw.

    Raises:
        InputError: they make none, or one that cannot be.
    """
    good = np.isfinite(told["x"]) & np.isfinite(told["y"])
    order = np.lexsort((time_us, who))
    order = order[good[order]]
    if not len(order):
        raise InputError("There is no row with a position.", "Check which columns or fields hold the position.")
    if len(seen) > LIMIT_USERS:
        raise InputError(f"There are {len(seen)} road users in one scenario.", f"At most {LIMIT_USERS} may be.")
    kept = np.unique(who[order])
    left_out = tuple(f"{seen[at].name} has no position at all" for at in np.setdiff1d(np.arange(len(seen)), kept))
    who, time_us = np.searchsorted(kept, who[order]), time_us[order]
    columns = {name: numbers[order] for name, numbers in told.items()}
    users = tuple(seen[at].user(track) for track, at in enumerate(kept))
    once = _once(users, who, time_us, columns)
    who, time_us = who[once], time_us[once]
    columns = {name: numbers[once] for name, numbers in columns.items()}
    steps = even_steps(who, time_us, np.array(also_us, np.int64))
    _refuse_too_much(steps, len(users))
    placed = on_steps(steps, len(users), who, time_us, columns)
    return Gathered(_motion(users, steps, placed), left_out, steps.begin_us)


def _once(
    users: Sequence[RoadUser], who: NDArray[np.int64], time_us: NDArray[np.int64], columns: Mapping[str, Numbers]
) -> NDArray[np.bool_]:
    """Leave out rows that say the same twice; refuse those that put one road user at two places at once."""
    again = np.r_[False, (np.diff(who) == 0) & (np.diff(time_us) == 0)]
    for at in np.flatnonzero(again):
        if any(not np.array_equal(one[at], one[at - 1], equal_nan=True) for one in columns.values()):
            name, seconds = users[who[at]].name, (time_us[at] - time_us.min()) / 1e6
            what = f"The track {name!r} is at two places {seconds:.3f} s after the beginning."
            raise InputError(what, "Give each road user an id of its own, or tell scenarios apart.")
    return np.asarray(~again, np.bool_)


def _refuse_too_much(steps: Steps, users: int) -> None:
    if steps.count > LIMIT_STEPS:
        do = f"At most {LIMIT_STEPS} may be: cut it, or check the unit of time."
        raise InputError(f"There are {steps.count} steps of {steps.step_us / 1e6:.4g} s in one scenario.", do)
    if steps.count * users > LIMIT_PLACES:
        what = f"There are {users} road users over {steps.count} steps in one scenario."
        raise InputError(what, f"At most {LIMIT_PLACES} places may be: cut it into several.")


def _motion(users: tuple[RoadUser, ...], steps: Steps, placed: dict[str, Numbers]) -> Motion:
    x, y = placed["x"], placed["y"]
    present, time_us = np.isfinite(x), steps.time_us
    step_s = steps.step_us / 1e6
    path_vx, path_vy = (slope(numbers, step_s) for numbers in (x, y))
    _refuse_jumps(users, x, y, step_s)
    yaw = _known(placed, "yaw", x)
    within = (yaw > -np.pi) & (yaw <= np.pi)
    yaw = np.where(within, yaw, np.where(np.isfinite(yaw), wrapped(yaw), heading(x, y, step_s)))
    vx, vy = _known(placed, "vx", x), _known(placed, "vy", x)
    speed = _known(placed, "speed", x)
    vx = np.where(np.isfinite(vx), vx, speed * np.cos(yaw))
    vy = np.where(np.isfinite(vy), vy, speed * np.sin(yaw))
    _refuse_unfit(np.hypot(vx, vy), np.hypot(path_vx, path_vy))
    vx, vy = np.where(np.isfinite(vx), vx, path_vx), np.where(np.isfinite(vy), vy, path_vy)
    ax, ay = _known(placed, "ax", x), _known(placed, "ay", x)
    ax = np.where(np.isfinite(ax), ax, slope(vx, step_s))
    ay = np.where(np.isfinite(ay), ay, slope(vy, step_s))
    half = np.array([[user.height / 2] for user in users])
    z = _known(placed, "z", x)
    z = np.where(np.isfinite(z), z, half)
    columns = {"x": x, "y": y, "z": z, "yaw": yaw, "vx": vx, "vy": vy, "ax": ax, "ay": ay}
    hidden = {name: np.where(present, numbers, np.nan) for name, numbers in columns.items()}
    return Motion(users=users, time_us=time_us, present=present, **hidden)


def _known(placed: dict[str, Numbers], name: str, like: Numbers) -> Numbers:
    return placed[name] if name in placed else np.full_like(like, np.nan)


def slope(numbers: Numbers, step_s: float) -> Numbers:
    """Return the change a second of (V, T) numbers, central where both neighbours are known; 0 for a lone one."""
    before, after = np.full_like(numbers, np.nan), np.full_like(numbers, np.nan)
    before[:, 1:], after[:, :-1] = numbers[:, :-1], numbers[:, 1:]
    has_before, has_after = np.isfinite(before), np.isfinite(after)
    low, high = np.where(has_before, before, numbers), np.where(has_after, after, numbers)
    span = (has_before.astype(np.float64) + has_after) * step_s
    return np.asarray((high - low) / np.where(span > 0, span, 1.0))


def heading(x: Numbers, y: Numbers, step_s: float) -> Numbers:
    """Return (V, T) yaw in radians from the path; kept while a road user stands, 0 where it never moves."""
    reach = max(1, round(YAW_SPAN_S / step_s))
    dx, dy = _across(x, reach), _across(y, reach)
    moves = np.hypot(dx, dy) >= YAW_PATH_M
    yaw = np.where(moves, np.arctan2(dy, dx), np.nan)
    rows = [_held(row) for row in yaw]
    return np.where(np.isfinite(x), np.array(rows).reshape(x.shape), np.nan)


def _across(numbers: Numbers, reach: int) -> Numbers:
    """Return the way from the first known place within reach before to the last one within reach behind."""
    low, high = numbers.copy(), numbers.copy()
    for far in range(1, min(reach, numbers.shape[1] - 1) + 1):
        broken_low, broken_high = np.isnan(low), np.isnan(high)
        earlier, later = np.full_like(numbers, np.nan), np.full_like(numbers, np.nan)
        earlier[:, far:], later[:, :-far] = numbers[:, :-far], numbers[:, far:]
        low = np.where(np.isfinite(earlier) & ~broken_low, earlier, low)
        high = np.where(np.isfinite(later) & ~broken_high, later, high)
    return high - low


def _held(row: Numbers) -> Numbers:
    known = np.flatnonzero(np.isfinite(row))
    if not len(known):
        return np.zeros_like(row)
    last = np.searchsorted(known, np.arange(len(row)), side="right") - 1
    return np.asarray(row[known[np.maximum(last, 0)]])


def _refuse_jumps(users: Sequence[RoadUser], x: Numbers, y: Numbers, step_s: float) -> None:
    way = np.hypot(np.diff(x, axis=1), np.diff(y, axis=1))
    far = np.argwhere(way > LIMIT_SPEED_MPS * step_s)
    if len(far):
        row, step = far[0]
        when = f"within {step_s:.4g} s, {step * step_s:.2f} s after the beginning"
        what = f"The track {users[row].name!r} jumps {way[row, step]:.0f} m {when}."
        raise InputError(what, "Check the units of position and time, and that one id is one road user.")


def _refuse_unfit(told: Numbers, path: Numbers) -> None:
    moving = np.isfinite(told) & np.isfinite(path) & ((path > FIT_FROM_MPS) | (told > FIT_FROM_MPS))
    if moving.sum() < 10:
        return
    ratio = float(np.median((told[moving] + 1e-9) / (path[moving] + 1e-9)))
    if not FIT[0] <= ratio <= FIT[1]:
        what = f"The speeds do not fit the positions: they are {ratio:.3g} times as fast."
        raise InputError(what, "Check the units of speed, position and time.")
