"""What a zone keeps of people: only what its governance allows, no finer, no longer, and nothing of whom it erased."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pytest

from carcloud.vehicle.pseudonym import is_pseudonym
from tests.attacks.attacker import Car
from tests.unpacked import holding, spellings, tables
from tests.zone import RunningZone, carcloud, running_zone, until

VIN = "WVWZZZ1JZ3W386752"
LATITUDE, LONGITUDE = 48.77532819, 9.18293417
POSITION = ("Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude")
PEDAL, SPEED, NAME = "Vehicle.Chassis.Accelerator.PedalPosition", "Vehicle.Speed", "Vehicle.Cabin.Note"
OVERLAY = f"signals:\n  {NAME}: {{type: string, kind: sensor, description: A note somebody left.}}\n"


@pytest.fixture(scope="module")
def lawful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a zone with the governance `eu`."""
    folder = tmp_path_factory.mktemp("lawful")
    (folder / "overlay.yaml").write_text(OVERLAY)
    config = f'governance = "eu"\noverlays = ["{folder / "overlay.yaml"}"]\n[query]\ntime_s = 2.0\n'
    with running_zone(folder / "data", config=config) as zone:
        yield zone


class Person(Car):
    """A person's car, which says exact places, names and how it is driven."""

    def __init__(self, zone: RunningZone, name: str) -> None:
        enrolled, place = zone.enrol(name)
        super().__init__(zone, place)
        self.zone, self.vin, self.began_us = zone, enrolled.vehicle.vin, int(time.time() * 1e6)
        assert self.connect() == "Success"

    def drive(self, **more: object) -> None:
        """Say one moment of a drive."""
        at = int(time.time() * 1e6)
        values = {POSITION[0]: LATITUDE, POSITION[1]: LONGITUDE, PEDAL: 37, SPEED: 51.5} | more
        samples = [{"signal": path, "value": value, "time": at} for path, value in values.items()]
        self.say(json.dumps({"samples": samples}).encode())

    def rows(self, path: str, name: str = "") -> list[object]:
        """Return what the lake has of a signal, oldest first; under another name than the car's id where given."""
        sql = "SELECT coalesce(text, value::VARCHAR) FROM samples WHERE vehicle = $v AND signal = $s ORDER BY time"
        return [row[0] for row in self.zone.sql(sql, v=name or self.id, s=path)]

    def agree(self, change: str) -> None:
        """Give or withdraw (`--give`, `--withdraw`) the consent to research."""
        said = carcloud("consent", self.id, change, "research", "--data", str(self.zone.data))
        assert said.returncode == 0, said.stdout

    def pedals(self) -> list[object]:
        """Return what the lake has of the pedal of all cars, under whatever names, since this car began."""
        sql = "SELECT value::VARCHAR FROM samples WHERE signal = $s AND time >= make_timestamptz($t) ORDER BY time"
        return [row[0] for row in self.zone.sql(sql, s=PEDAL, t=self.began_us)]


@pytest.fixture
def person(lawful: RunningZone, request: pytest.FixtureRequest) -> Iterator[Person]:
    car = Person(lawful, request.node.name[:40])
    yield car
    car.stop()


def test_a41_vin_inside_a_text_is_masked(person: Person) -> None:
    person.drive(**{NAME: f"lent to Bo, {VIN.lower()}"})
    until(lambda: person.rows(NAME), "not in the lake")
    assert person.rows(NAME) == ["lent to Bo, [VIN]"]


def test_a42_consent_withdrawn_in_mid_stream_drops_the_next_record(person: Person) -> None:
    def lost() -> int:
        return int(person.zone.status()["stream"]["refused"].get("no_consent", 0))

    before = lost()
    person.drive()
    until(lambda: lost() > before, "kept without a consent")
    person.agree("--give")
    time.sleep(0.5)
    person.drive(**{PEDAL: 61})
    until(lambda: person.pedals() == ["61.0"], "not kept with a consent")
    person.agree("--withdraw")
    withdrawn, sent_at = time.monotonic(), list[float]()
    for pedal in range(60):
        sent_at.append(time.monotonic() - withdrawn)
        person.drive(**{PEDAL: pedal})
        time.sleep(0.03)
    until(lambda: len(person.rows(SPEED)) == 62, "the rest of the batches did not pass")
    late = {f"{pedal}.0" for pedal in range(60) if sent_at[pedal] >= 1.0}
    assert late
    assert not late & set(person.pedals())


def test_a45_no_byte_of_the_zone_holds_a_canarys_vin_or_exact_place(person: Person) -> None:
    person.drive(**{NAME: f"car {VIN}"})
    person.drive(**{SPEED: "fast", NAME: VIN})  # goes to quarantine, with all that was said beside it
    until(lambda: person.rows(POSITION[0]), "not in the lake")
    until(lambda: [e for e in person.zone.get("/v1/quarantine")["entries"] if e["vehicle"] == person.id], "not kept")
    assert float(str(person.rows(POSITION[0])[0])) == pytest.approx(48.7755)
    words = [VIN.encode(), person.vin.encode(), *spellings(LATITUDE), *spellings(LONGITUDE)]
    assert holding(person.zone.data, words) == []


def test_rows_under_a_pseudonym_name_their_car_in_no_byte_of_the_lake(person: Person) -> None:
    person.agree("--give")
    time.sleep(0.5)
    person.drive(**{PEDAL: 41})
    until(lambda: person.rows(SPEED) and person.pedals(), "not in the lake")
    assert person.rows(PEDAL) == []
    names = {row[0] for row in person.zone.sql("SELECT vehicle FROM samples WHERE signal = $s AND value = 41", s=PEDAL)}
    assert len(names) == 1
    (name,) = names
    assert is_pseudonym(name)
    own = person.zone.sql("SELECT DISTINCT signal FROM samples WHERE vehicle = $v", v=name)
    assert own == [[PEDAL]]
    assert PEDAL not in person.zone.get(f"/v1/vehicles/{person.id}/signals")["signals"]
    assert holding(person.zone.data / "logs", [name.encode()]) == []
    lying = [table for table in tables(person.zone.data) if PEDAL in table["signal"].unique().to_pylist()]
    assert len(lying) >= 2  # the stream's chunk, and the lake's file
    for table in lying:
        hidden = table.filter(pc.equal(table["signal"].cast("string"), PEDAL))["vehicle"].unique().to_pylist()
        assert all(map(is_pseudonym, hidden))


def test_erased_car_is_found_nowhere_and_the_lake_still_verifies(person: Person) -> None:
    other = Person(person.zone, "another")
    place = person.place
    person.agree("--give")
    time.sleep(0.5)
    for number in range(3):
        person.drive(**{NAME: f"left by Anna {number}"})
        person.drive(**{SPEED: "fast", NAME: "said by Anna"})
        other.drive()
    until(lambda: len(person.rows(NAME)) == 6 and other.rows(SPEED), "not in the lake")
    until(lambda: len(person.pedals()) == 6, "not in the lake")
    hidden = "SELECT DISTINCT vehicle FROM samples WHERE signal = $s AND time >= make_timestamptz($t)"
    (name,) = {row[0] for row in person.zone.sql(hidden, s=PEDAL, t=person.began_us)}
    assert is_pseudonym(name)
    mine = [b"by Anna", person.vin.encode()]
    assert any("rows" in where for where in holding(person.zone.data, mine))
    assert person.zone.client.post(f"/v1/vehicles/{person.id}/erase").status_code == 403  # an operator may not
    assert carcloud("erase", person.id, "--yes", "--data", str(person.zone.data)).returncode == 0
    until(lambda: not person.mqtt.is_connected(), "the session goes on", 5)
    until(lambda: _done(person.zone, person.id), "the erasure does not end")
    assert person.zone.client.get(f"/v1/vehicles/{person.id}").status_code == 404
    assert person.rows(SPEED) == person.rows(PEDAL, name) == []
    assert other.rows(SPEED) == ["51.5"] * 3
    assert holding(person.zone.data, mine) == []
    named = holding(person.zone.data / "lake", [person.id.encode(), name.encode()])
    assert {where.split("/")[0] for where in named} == {"erased"}
    assert "good" in carcloud("verify", "lake", "--data", str(person.zone.data)).stdout
    until(lambda: person.zone.health() == "ok", "the zone is not well")
    again = Car(person.zone, place)
    assert again.connect() != "Success"
    for car in (again, other):
        car.stop()


def _done(zone: RunningZone, vehicle: str) -> bool:
    found = [erasure for erasure in zone.get("/v1/erasures")["erasures"] if erasure["vehicle"] == vehicle]
    return bool(found and found[0]["done_at"])


def test_a56_governance_tampered_with_on_the_disk_is_refused(lawful: RunningZone) -> None:
    file, car = lawful.data / "governance.yaml", Person(lawful, "tampered")
    true = file.read_text()
    file.write_text(true.replace("exactness: 0.001", "exactness: 0.0000001"))
    before = lawful.status()["stream"]["chunks"]
    lawful.kill("governor")
    car.drive()
    until(lambda: lawful.pid("governor") is None, "a governor runs under another governance")
    time.sleep(2)
    assert lawful.status()["stream"]["chunks"] <= before
    assert "not the governance that the zone took" in (lawful.data / "logs" / "governor.out").read_text()
    file.write_text(true)
    until(lambda: car.rows(POSITION[0]), "the stream does not go on")
    assert float(str(car.rows(POSITION[0])[0])) == pytest.approx(48.7755)
    car.stop()


TIMED = f"""
name: timed
purposes: {{run: {{basis: contract, why: So that there is something lawful.}}}}
rules:
  - {{paths: [{NAME}, {SPEED}], class: personal, purposes: [run], days: 3}}
  - {{paths: ["**"], class: operational, purposes: [run]}}
"""


def test_governance_that_changes_is_taken_at_the_next_start_and_what_it_keeps_no_longer_is_in_no_byte(
    tmp_path: Path,
) -> None:
    data, law, ago_us = tmp_path / "data", tmp_path / "timed.yaml", 10 * 86_400_000_000
    (tmp_path / "overlay.yaml").write_text(OVERLAY)
    law.write_text(TIMED)
    config = f'overlays = ["{tmp_path / "overlay.yaml"}"]\n[query]\ntime_s = 1.0\n'
    words, old = [b"by Anna", *spellings(51.6180339887)], int(time.time() * 1e6) - ago_us
    with running_zone(data, config=config) as zone:
        first, car = zone.get("/v1/governance")["hash"], Person(zone, "old")
        for path, value in ((NAME, "left by Anna"), (SPEED, 51.6180339887), (POSITION[0], 48.5)):
            car.say(json.dumps({"samples": [{"signal": path, "value": value, "time": old}]}).encode())
        until(lambda: all(car.rows(path) for path in (NAME, SPEED, POSITION[0])), "not in the lake")
        car.stop()
    assert any("rows" in where for where in holding(data, words))
    with running_zone(data, config=f'governance = "{law}"\n{config}') as zone:
        second = zone.get("/v1/governance")
        until(lambda: zone.get("/v1/audit", action="expire")["leaves"], "nothing expired")
        until(lambda: holding(data, words) == [], "what expired lies somewhere")
        (act,) = zone.get("/v1/audit", action="expire")["leaves"]
        facts = zone.get(f"/v1/audit/{act['number']}")["facts"]
        assert (facts["rows"], facts["days"], facts["policy"]) == (2, 1, second["hash"])
        car.zone = zone
        assert (car.rows(NAME), car.rows(SPEED), car.rows(POSITION[0])) == ([], [], ["48.5"])
        assert set(zone.get(f"/v1/vehicles/{car.id}/signals")["signals"]) == {POSITION[0]}
        assert ", 2 expired: good" in carcloud("verify", "lake", "--data", str(data)).stdout
        until(lambda: zone.health() == "ok", "the zone is not well")
    assert second["name"] == "timed"
    assert sorted(file.stem for file in (data / "governance").iterdir()) == sorted([first, second["hash"]])
