"""What the governor knows of consents: one that cannot be read counts for nothing, the others count."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from carcloud.backends.records import Records, Vehicle
from carcloud.safety.governance.policy import parse
from carcloud.safety.governance.table import Table
from carcloud.safety.grants.grant import Ground
from carcloud.stream.consents import Standing
from carcloud.vehicle.catalogue import Catalogue, Signal
from tests.granted import consent

CARS = ("a" * 16, "b" * 16)
CATALOGUE = Catalogue([Signal("V.Speed", "float", "km/h")])
POLICY = parse(
    """
name: tests
purposes: {know: {basis: consent, why: Knowing.}}
rules: [{paths: [V.Speed], class: personal, purposes: [know]}]
""",
    "tests",
)


def test_a_consent_that_cannot_be_read_is_left_out_and_told_of(tmp_path: Path) -> None:
    records = Records.open(f"sqlite:///{tmp_path / 'records.db'}")
    ground = Ground("test", POLICY, CATALOGUE)
    standing = Standing(records, Table(POLICY, CATALOGUE), ground)
    for number, car in enumerate(CARS):
        vin = f"WVWZZZ1JZXW00000{number}"
        records.add_vehicle(Vehicle(car, "acme", vin, None, "active", datetime(2026, 1, 1, tzinfo=UTC)))
        consent(records, ground, car, "know")
    asyncio.run(standing.read())
    assert (set(standing.now()), standing.alarms) == (set(CARS), [])
    with records.transaction(writing=True) as db:
        db.exec_driver_sql(f"UPDATE grants SET scope = 'none' WHERE vehicle = '{CARS[0]}'")
        db.exec_driver_sql(f"UPDATE grants SET until_at = {2**62} WHERE vehicle = '{CARS[1]}'")
    asyncio.run(standing.read())
    assert set(standing.now()) == {CARS[1]}
    assert [alarm["code"] for alarm in standing.alarms] == ["consents_unread"]
    consent(records, ground, CARS[0], "know", agreed=False)
    for grant in records.grants.of(CARS[0]):
        records.grants.revoke(grant.id, "test", datetime.now(UTC))
    asyncio.run(standing.read())
    assert standing.alarms == []
    records.close()
