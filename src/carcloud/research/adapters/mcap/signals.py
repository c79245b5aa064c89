"""Signals and words that our own MCAP files carry beside ground truth, so that a scenario comes back as it went.

Rules:
* Each signal is a JSON channel /signals/<name> with messages {"t": [µs …], "v": [numbers …], "unit": text}.
* The metadata record net.carcloud.scenario says what OSI cannot: name, beginning, origin, goal, tags, parameters. What
  of it cannot be read counts as not said. Licence and consent in it are for people: no import believes them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from carcloud.errors import InputError
from carcloud.research.scenario import Scenario, Series

LIMIT_SIGNALS = 2000
LIMIT_SAMPLES = 50_000_000


class Signals:
    """The signals of a file, as they come in."""

    PREFIX = "/signals/"
    METADATA = "net.carcloud.scenario"

    def __init__(self) -> None:
        self._told: dict[str, list[tuple[Any, Any, str]]] = {}
        self._count = 0

    def take(self, topic: str, message: Any) -> None:
        """Take in one message.

        Raises:
            InputError: it is none of ours.
        """
        try:
            times, values = np.array(message["t"], np.int64), np.array(message["v"], np.float64)
            unit = str(message.get("unit", ""))
            good = times.ndim == 1 and times.shape == values.shape
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
            good = False
        self._count += len(times) if good else 0
        if not good or self._count > LIMIT_SAMPLES or len(self._told) > LIMIT_SIGNALS:
            raise InputError(
                f"{topic!r} is no signal that can be read.", "Each message has lists `t` and `v` alike long."
            )
        self._told.setdefault(topic.removeprefix(self.PREFIX), []).append((times, values, unit))

    def series(self) -> tuple[Series, ...]:
        """Return the signals."""
        return tuple(
            Series(
                name, parts[0][2], np.concatenate([one[0] for one in parts]), np.concatenate([one[1] for one in parts])
            )
            for name, parts in self._told.items()
        )

    @staticmethod
    def restored(scenario: Scenario, own: dict[str, str]) -> Scenario:
        """Return a scenario with what our own metadata says of it."""
        try:
            told = orjson.loads(own.get("scenario", "{}"))
            begin = datetime.fromisoformat(told["begin"]) if told.get("begin") else None
            origin = (float(told["origin"][0]), float(told["origin"][1])) if told.get("origin") else None
            goal = np.array(told["goal"], np.float64).reshape(-1, 2) if told.get("goal") else None
            tags = tuple(map(str, told.get("tags", ())))
            parameters = {str(key): float(value) for key, value in told.get("parameters", {}).items()}
            simulated = bool(told.get("simulated", scenario.simulated))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return scenario
        if not told or (begin is not None and begin.tzinfo is None):
            return scenario
        return replace(
            scenario, begin=begin, origin=origin, goal=goal, tags=tags, parameters=parameters, simulated=simulated
        )

    @staticmethod
    def words(scenario: Scenario) -> str:
        """Return what `restored` reads."""
        told = {
            "begin": scenario.begin.isoformat() if scenario.begin else None,
            "origin": list(scenario.origin) if scenario.origin else None,
            "goal": scenario.goal.tolist() if scenario.goal is not None else None,
            "tags": list(scenario.tags),
            "parameters": dict(scenario.parameters),
            "simulated": scenario.simulated,
        }
        return orjson.dumps(told).decode()
