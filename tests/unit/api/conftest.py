"""The API served for real; see `served`."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import CARS, MOMENT, TOKEN, Zone

from carcloud.backends.records import Certificate, Vehicle


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    made = Zone(tmp_path)
    for number, car in enumerate(CARS):
        label = f"car {number}" if number else None
        made.records.add_vehicle(
            Vehicle(car, "default", f"WBA0000000000000{number}", label, "active", MOMENT),
            Certificate(f"0{number}", car, MOMENT, MOMENT.replace(year=2027)),
        )
    made.start()
    yield made
    made.stop()


@pytest.fixture
def api(zone: Zone) -> Iterator[httpx.Client]:
    """A client with the zone's token."""
    with httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def stranger(zone: Zone) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=zone.url) as client:
        yield client
