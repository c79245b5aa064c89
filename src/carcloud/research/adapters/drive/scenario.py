"""A drive of one car as a scenario: its track as the ego's motion, its signals as series.

Rules:
* Its place comes from Vehicle.CurrentLocation.Latitude and .Longitude; height from .Altitude, course from .Heading.
  Speed over ground is GNSS.Speed in m/s where the receiver tells one.
* The origin is the first fix that was used, on WGS 84.
* Each fix is judged in the series Recording.Position.Judgement: 0 used, 1 an outlier. Where fixes are more than a
  second apart the car is not present.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import LIMIT_STEPS
from carcloud.research.adapters.drive.parts import Car
from carcloud.research.adapters.drive.track import Fixes, smooth
from carcloud.research.adapters.sightings import Seen
from carcloud.research.motion import Motion
from carcloud.research.places import to_local
from carcloud.research.scenario import Scenario, Series

LOCATION = "Vehicle.CurrentLocation"
SPEED = "GNSS.Speed"
JUDGEMENT = "Recording.Position.Judgement"
JUDGED = {"used": 0.0, "outlier": 1.0}
LIMIT_SPAN_S = 86_400.0
"""One drive is at most a day."""

Numbers = NDArray[np.float64]


def scenario_of(name: str, car: Car, series: tuple[Series, ...]) -> Scenario:
    """Return the scenario of a drive.

    Args:
        series: with times in microseconds since 1970.

    Raises:
        InputError: it has no track.
    """
    by_name = {one.name: one for one in series}
    time_us, latitude, longitude = _places(by_name)
    origin = float(latitude[0]), float(longitude[0])
    begin_us = int(time_us[0])
    seconds = (time_us - begin_us) / 1e6
    even_s = np.arange(_count(seconds[-1], car.step_s), dtype=np.float64) * car.step_s
    x, y = to_local(latitude, longitude, origin)
    fixes = Fixes(seconds, x, y, *_velocity(by_name, time_us))
    motion, outliers = _motion(car, fixes, even_s, _at(by_name, f"{LOCATION}.Altitude", begin_us, even_s))
    judged = np.where(outliers, JUDGED["outlier"], JUDGED["used"])
    told = [Series(one.name, one.unit, one.time_us - begin_us, one.values) for one in series]
    told.append(Series(JUDGEMENT, "", time_us - begin_us, judged))
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=begin_us)
    return Scenario(name=name, motion=motion, ego=0, begin=begin, origin=origin, series=tuple(told))


def _count(span_s: float, step_s: float) -> int:
    if span_s > LIMIT_SPAN_S or span_s / step_s >= LIMIT_STEPS:
        what = f"The drive lasts {span_s:.0f} s, in steps of {step_s} s."
        raise InputError(
            what, f"A drive has at most {LIMIT_STEPS} steps and one day: cut it, or set a longer `step_s`."
        )
    return int(span_s / step_s + 1e-9) + 1


def _places(by_name: Mapping[str, Series]) -> tuple[NDArray[np.int64], Numbers, Numbers]:
    names = f"{LOCATION}.Latitude", f"{LOCATION}.Longitude"
    if any(name not in by_name for name in names):
        raise InputError("The drive has no position.", f"Map {names[0]} and {names[1]}.")
    latitude, longitude = (by_name[name] for name in names)
    time_us, one, other = np.intersect1d(latitude.time_us, longitude.time_us, return_indices=True)
    where = latitude.values[one], longitude.values[other]
    good = (np.abs(where[0]) <= 90) & (np.abs(where[1]) <= 180) & ((where[0] != 0) | (where[1] != 0))
    if good.sum() < 2:
        do = "Check the columns and their units: degrees between -90 and 90, and -180 and 180."
        raise InputError(f"The drive has {int(good.sum())} positions that can be.", do)
    return time_us[good], where[0][good], where[1][good]


def _velocity(by_name: Mapping[str, Series], time_us: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Return the velocity at each fix from speed and course of the same time; NaN where one is missing."""
    found = []
    for name in (SPEED, f"{LOCATION}.Heading"):
        values = np.full(len(time_us), np.nan)
        if name in by_name:
            _, at, of = np.intersect1d(time_us, by_name[name].time_us, return_indices=True)
            values[at] = by_name[name].values[of]
        found.append(values)
    speed, course = found[0], np.radians(found[1])
    return speed * np.sin(course), speed * np.cos(course)


def _at(by_name: Mapping[str, Series], name: str, begin_us: int, even_s: Numbers) -> Numbers | None:
    if name not in by_name or not len(by_name[name].values):
        return None
    series = by_name[name]
    return np.interp(even_s, (series.time_us - begin_us) / 1e6, series.values)


def _motion(car: Car, fixes: Fixes, even_s: Numbers, height: Numbers | None) -> tuple[Motion, NDArray[np.bool_]]:
    track = smooth(fixes, even_s)
    if not track.present.any():
        raise InputError("No two positions of the drive lie within a second.", "Check the unit of their time.")
    user = Seen(car.name, "car", *car.size).user(0)
    forward, left, up = car.antenna
    cos, sin = np.cos(track.yaw), np.sin(track.yaw)
    columns = {
        "x": track.x - forward * cos + left * sin,
        "y": track.y - forward * sin - left * cos,
        "z": height - up if height is not None else np.full_like(track.x, user.height / 2),
        **{name: getattr(track, name) for name in ("yaw", "vx", "vy", "ax", "ay")},
    }
    hidden = {name: np.where(track.present, numbers, np.nan)[None] for name, numbers in columns.items()}
    time_us = np.asarray(np.rint(even_s * 1e6), np.int64)
    return Motion(users=(user,), time_us=time_us, present=track.present[None], **hidden), track.outliers
