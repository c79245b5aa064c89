"""The zone under attack: one for the attacks it should shrug off, a fresh one a module for those that may hurt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.attacks.attacker import Car
from tests.zone import RunningZone, running_zone

_names = count(1)


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give the zone that every harmless attack shares."""
    with running_zone(tmp_path_factory.mktemp("target") / "data", config="[query]\ntime_s = 2.0\n") as zone:
        yield zone


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a zone of this module's own."""
    with running_zone(tmp_path_factory.mktemp("victim") / "data") as zone:
        yield zone


def enrolled(zone: RunningZone) -> Path:
    """Enrol one more car; return its folder of credentials."""
    return zone.enrol(f"car-{next(_names)}")[1]


@pytest.fixture
def car(target: RunningZone) -> Iterator[Callable[..., Car]]:
    """Give a maker of cars of the shared zone, not yet connected."""
    with ExitStack() as stack:

        def make(place: Path | None = None, **options: object) -> Car:
            made = Car(target, place or enrolled(target), **options)  # type: ignore[arg-type]
            stack.callback(made.stop)
            return made

        yield make
