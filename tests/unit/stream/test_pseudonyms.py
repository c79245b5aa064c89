"""The names of a chunk's cars: on disk before a row bears them, whatever happens to the governor in between."""

import asyncio
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from carcloud.backends.records import Records, Vehicle
from carcloud.safety.governance.policy import parse
from carcloud.safety.governance.table import Table
from carcloud.stream.draft import draft
from carcloud.stream.guards import Terms
from carcloud.stream.intake import Intake
from carcloud.stream.marks import Marks
from carcloud.stream.pseudonyms import Pseudonyms
from carcloud.stream.settings import FloodLimits, TimeLimits
from carcloud.vehicle.pseudonym import is_pseudonym
from tests.stream import CAR, CATALOGUE, NOW_US, OTHER, TABLE, batch, up

DAY_US = 86_400_000_000
HIDING = Table(
    parse(
        """
name: hiding
epoch: day
purposes: {run: {basis: contract, why: So it is.}}
rules:
  - {paths: [Vehicle.Speed], class: personal, purposes: [run], car: pseudonym}
  - {paths: ["**"], class: operational, purposes: [run]}
""",
        "hiding",
    ),
    CATALOGUE,
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/records.db"
    records = Records.open(url)
    for car in (CAR, OTHER):
        records.add_vehicle(Vehicle(car, "default", f"VIN{car[:14].upper()}", None, "active", datetime.now(UTC)))
    records.close()
    return url


def intake_of(*sent: tuple[str, str, int]) -> Intake:
    """Return an intake with one row a batch: car, path, and when the broker had it."""
    intake = Intake(CATALOGUE, Marks(), {TABLE.hash: TABLE}, lambda _: "default", FloodLimits())
    for number, (car, path, received_us) in enumerate(sent, 1):
        intake.take(up(car), batch([(path, received_us, 1.0)], number, 1), received_us)
    return intake


def governed(records: Records, intake: Intake) -> list[tuple[str, str]]:
    names = asyncio.run(Pseudonyms(records, HIDING).of(intake.arrivals))
    made = draft(intake.arrivals, Terms(CATALOGUE, TimeLimits(), HIDING), {}, names)
    return list(zip(*(made.rows[column].to_pylist() for column in ("vehicle", "signal")), strict=True))


def test_a_car_has_one_name_an_epoch_and_rows_of_other_signals_keep_its_id(url):
    records = Records.open(url)
    days = [NOW_US, NOW_US + 1, NOW_US + DAY_US]
    found = governed(
        records, intake_of(*((CAR, path, day) for day in days for path in ("Vehicle.Speed", "Vehicle.Free")))
    )
    hidden = [name for name, path in found if path == "Vehicle.Speed"]
    assert len(hidden) == 3
    assert len(set(hidden)) == 2
    assert set(hidden) == set(records.pseudonyms.names(CAR))
    assert all(map(is_pseudonym, hidden))
    assert [name for name, path in found if path == "Vehicle.Free"] == [CAR] * 3
    records.close()


def test_a_car_that_says_nothing_hidden_gets_no_name(url):
    records = Records.open(url)
    assert governed(records, intake_of((CAR, "Vehicle.Free", NOW_US), (OTHER, "Vehicle.Unknown", NOW_US))) == [
        (CAR, "Vehicle.Free")
    ]
    assert records.pseudonyms.cars("default") == {}
    records.close()


def test_killed_between_name_and_chunk_the_same_name_stands_the_next_time(url):
    """What was on its way is read again, as cars and RAW give it again; nothing is lost and nobody has two names."""
    script = (
        "import os, signal, sys\nfrom carcloud.backends.records import Records\n"
        "records = Records.open(sys.argv[1])\n"
        "print(records.pseudonyms.of({sys.argv[2]: 'default'}, '2026-09-21')[sys.argv[2]], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, url, CAR], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    records = Records.open(url)
    found = governed(records, intake_of((CAR, "Vehicle.Speed", NOW_US), (OTHER, "Vehicle.Speed", NOW_US)))
    assert len(found) == len({name for name, _ in found}) == 2
    assert killed.stdout.strip() in {name for name, _ in found}
    assert records.pseudonyms.names(CAR) == [killed.stdout.strip()]
    records.close()
