"""The gate's limits: one file that a person reads and signs off.

Rules:
* What is not known, missing or of the wrong kind is refused with its name; nothing is filled in silently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
import yaml

from carcloud.errors import InputError
from carcloud.research.gate.statistics import LIMIT_RESAMPLES

RATES = ("collided", "at_fault", "off_road", "near", "fault")
RATIOS = (
    "most_deceleration_mps2",
    "most_acceleration_mps2",
    "most_lateral_acceleration_mps2",
    "most_jerk_mps3",
    "most_yaw_rate_radps",
    "uncomfortable_share",
    "tet_s",
    "tit_s2",
)
LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True)
class Limits:
    """The limits, as `limits.yaml` explains them."""

    scenarios: int
    hard: Mapping[str, Any]
    rates: Mapping[str, float]
    near_ttc_s: float
    p: float
    confidence: float
    resamples: int
    seed: int
    ratios: Mapping[str, float]
    least_progress: float
    competence: bool

    @property
    def hash(self) -> str:
        """Return the SHA-256 over what they say."""
        return hashlib.sha256(orjson.dumps(vars(self), option=orjson.OPT_SORT_KEYS)).hexdigest()


def limits_of(path: Path | None = None) -> Limits:
    """Read limits; ours where no file is named. Raise InputError that says which line is wrong."""
    if path is None:
        return limits_from(files("carcloud.research.gate").joinpath("limits.yaml").read_bytes(), "limits.yaml")
    try:
        return limits_from(path.read_bytes(), path.name)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}.", "Give a file of limits.") from None


def limits_text() -> str:
    """Return our limits, as the file says and explains them."""
    return files("carcloud.research.gate").joinpath("limits.yaml").read_text()


def limits_from(text: bytes, name: str) -> Limits:
    """Read limits from a file's text. Raise InputError that says what of it is wrong."""
    do = "Take limits.yaml of carcloud.research.gate as the pattern."
    try:
        said = yaml.safe_load(text[:LIMIT_BYTES])
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{name} is no YAML: {str(error).splitlines()[0]}.", do) from None
    wanted = list(Limits.__dataclass_fields__)
    if not isinstance(said, dict) or set(said) != set(wanted):
        odd = sorted(map(str, set(said) ^ set(wanted))) if isinstance(said, dict) else ["all of it"]
        raise InputError(f"{name}: missing or not known: {', '.join(odd)}.", do)
    if (problem := _problem(said)) is not None:
        raise InputError(f"{name}: {problem}", do)
    return Limits(**said)


def _problem(said: Mapping[str, Any]) -> str | None:
    hard = said["hard"]
    if not isinstance(hard, dict) or set(hard) != {"collided", "fault"} or hard["collided"] not in ("all", "at_fault"):
        return "hard has `collided`, all or at_fault, and `fault`, true or false."
    if not isinstance(hard["fault"], bool) or not isinstance(said["competence"], bool):
        return "hard.fault and competence are true or false."
    for name, known in (("rates", RATES), ("ratios", RATIOS)):
        given = said[name]
        if not isinstance(given, dict) or not set(given) <= set(known):
            return f"{name} has some of {', '.join(known)}."
        if not all(_is_number(value, 0, 1000) for value in given.values()):
            return f"{name} are numbers, 0 or more."
    for name, low, high in (
        ("p", 0, 1),
        ("confidence", 0.5, 0.9999),
        ("near_ttc_s", 0, 100),
        ("least_progress", 0, 10),
    ):
        if not _is_number(said[name], low, high):
            return f"{name} is a number from {low} to {high}."
    for name, least, most in (("scenarios", 1, 10**9), ("resamples", 100, LIMIT_RESAMPLES), ("seed", 0, 2**63 - 1)):
        if not isinstance(said[name], int) or isinstance(said[name], bool) or not least <= said[name] <= most:
            return f"{name} is a whole number from {least} to {most}."
    return None


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
