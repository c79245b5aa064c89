"""Vehicles, twin, lake, catalogue and quarantine over HTTP."""

import base64
import threading
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from served import CARS, MOMENT, MOMENT_US, Zone

from carcloud.api.ports import Last
from carcloud.vehicle.batch import Batch, IdTable, encode

SPEED, COUNT, NAME = "Vehicle.Speed", "Vehicle.Cabin.Door.Count", "Vehicle.Cabin.Name"


@pytest.fixture
def reporting(zone: Zone) -> Zone:
    """A zone in which two of three cars have reported."""
    zone.twin.put(CARS[0], SPEED, Last(50.5, MOMENT_US, "simulated"))
    zone.twin.put(CARS[0], NAME, Last("Käfer", MOMENT_US + 1_500_000, "simulated"))
    zone.twin.put(CARS[1], COUNT, Last(4, MOMENT_US, "measured"))
    return zone


def test_vehicles_come_in_pages(api: httpx.Client, reporting: Zone) -> None:
    first = api.get("/v1/vehicles?limit=2").json()
    assert [car["id"] for car in first["vehicles"]] == list(CARS[:2])
    assert first["next"] == CARS[1]
    rest = api.get(f"/v1/vehicles?limit=2&after={first['next']}").json()
    assert [car["id"] for car in rest["vehicles"]] == [CARS[2]]
    assert rest["next"] is None


def test_vehicle_shows_what_the_records_and_the_twin_know(api: httpx.Client, reporting: Zone) -> None:
    assert api.get(f"/v1/vehicles/{CARS[0]}").json() == {
        "id": CARS[0],
        "vin": "WBA00000000000000",
        "label": None,
        "state": "active",
        "source": None,
        "enrolled_at": "2026-03-01T12:00:00Z",
        "last_seen": "2026-03-01T12:00:01.500000Z",
        "signals": 2,
        "certificate": {"serial": "00", "not_after": "2027-03-01T12:00:00Z"},
        "provenance": "simulated",
        "clock_offset_s": 0.25,
    }
    silent = api.get(f"/v1/vehicles/{CARS[2]}").json()
    assert (silent["last_seen"], silent["signals"], silent["provenance"]) == (None, 0, None)


def test_revoked_vehicles_can_be_listed(api: httpx.Client, zone: Zone) -> None:
    zone.records.life.change(CARS[1], "revoke", MOMENT)
    assert [car["id"] for car in api.get("/v1/vehicles?state=revoked").json()["vehicles"]] == [CARS[1]]


def test_signals_carry_unit_time_age_and_provenance(api: httpx.Client, reporting: Zone) -> None:
    answer = api.get(f"/v1/vehicles/{CARS[0]}/signals").json()
    speed = answer["signals"][SPEED]
    assert speed["age_s"] > 0
    assert {key: speed[key] for key in ("value", "unit", "time", "provenance")} == {
        "value": 50.5,
        "unit": "km/h",
        "time": "2026-03-01T12:00:00Z",
        "provenance": "simulated",
    }
    assert answer["signals"][NAME]["value"] == "Käfer"


def test_paths_choose_signals_exactly_or_by_branch(api: httpx.Client, reporting: Zone) -> None:
    def ask(paths: str) -> set[str]:
        return set(api.get(f"/v1/vehicles/{CARS[0]}/signals", params={"paths": paths}).json()["signals"])

    assert ask(SPEED) == {SPEED}
    assert ask("Vehicle.Cabin.*") == {NAME}
    assert ask(f"{SPEED},Vehicle.Cabin.*") == {SPEED, NAME}
    unknown = api.get(f"/v1/vehicles/{CARS[0]}/signals", params={"paths": "Vehicle.Sped"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "input")
    assert "Vehicle.Sped" in unknown.json()["error"]["message"]


def test_car_that_never_reported_has_no_signals_and_an_unknown_car_is_missing(api: httpx.Client, zone: Zone) -> None:
    assert api.get(f"/v1/vehicles/{CARS[2]}/signals").json()["signals"] == {}
    assert api.get("/v1/vehicles/nobody/signals").status_code == 404


def test_fleet_is_one_request(api: httpx.Client, reporting: Zone) -> None:
    answer = api.get("/v1/signals", params={"paths": f"{SPEED},{COUNT}"}).json()
    assert answer["paths"] == [SPEED, COUNT]
    assert answer["vehicles"] == [
        {
            "id": CARS[0],
            "label": None,
            "values": [50.5, None],
            "times": ["2026-03-01T12:00:00Z", None],
            "provenance": ["simulated", None],
        },
        {
            "id": CARS[1],
            "label": "car 1",
            "values": [None, 4],
            "times": [None, "2026-03-01T12:00:00Z"],
            "provenance": [None, "measured"],
        },
    ]


def test_twin_that_is_away_is_a_reason_to_try_later(api: httpx.Client, zone: Zone) -> None:
    zone.twin.away = True
    answer = api.get(f"/v1/vehicles/{CARS[0]}/signals")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "try_later")
    assert answer.headers["retry-after"]


def test_sql_answers_json_with_types(api: httpx.Client, zone: Zone) -> None:
    sql = (
        "SELECT vehicle, enrolled_at AS at, 1.5::DECIMAL(4,2) AS d, 'nan'::DOUBLE AS n, NULL AS e, [1, 2] AS l, "
        "{'a': DATE '2026-01-02'} AS s, 'x'::BLOB AS b, INTERVAL 90 SECOND AS i, 7::HUGEINT AS h "
        "FROM vehicles WHERE vehicle = $car"
    )
    answer = api.post("/v1/lake/sql", json={"sql": sql, "parameters": {"car": CARS[0]}}).json()
    assert answer["columns"][0] == {"name": "vehicle", "type": "string"}
    row = dict(zip([column["name"] for column in answer["columns"]], answer["rows"][0], strict=True))
    assert row["at"] == "2026-03-01T12:00:00Z"
    assert (row["d"], row["n"], row["e"], row["l"], row["s"]) == (1.5, None, None, [1, 2], {"a": "2026-01-02"})
    assert (row["b"], row["h"]) == ("eA==", 7)
    assert answer["truncated"] is False
    assert answer["elapsed_s"] > 0


def test_sql_answers_arrow_when_asked(api: httpx.Client) -> None:
    answer = api.post(
        "/v1/lake/sql",
        json={"sql": "FROM range(20)", "limit": 5},
        headers={"accept": "application/vnd.apache.arrow.stream"},
    )
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert answer.headers["x-carcloud-truncated"] == "true"
    assert pa.ipc.open_stream(answer.content).read_all().column(0).to_pylist() == [0, 1, 2, 3, 4]


def test_sql_reads_the_lake(api: httpx.Client, tmp_path: Path) -> None:
    table = {"vehicle": [CARS[0]], "signal": [SPEED], "time": pa.array([MOMENT_US], pa.timestamp("us", "UTC"))}
    rest = {"value": [1.5], "text": pa.nulls(1, pa.string()), "provenance": ["measured"], "chunk": [1]}
    for tenant, day in (("default", "2026-03-01"), ("other", "2026-03-02")):
        filed = pa.table(table | rest | {"tenant": [tenant], "day": [day]})
        write_deltalake(tmp_path / "lake", filed, partition_by=["tenant", "day"], mode="append")
    answer = api.post("/v1/lake/sql", json={"sql": "SELECT time, value, day FROM samples"}).json()
    assert answer["rows"] == [["2026-03-01T12:00:00Z", 1.5, "2026-03-01"]]


@pytest.mark.parametrize(
    ("sql", "status"), [("SELEC", 400), ("DROP TABLE samples", 403), ("SELECT * FROM read_text('/etc/passwd')", 403)]
)
def test_sql_that_is_wrong_or_forbidden_says_so(api: httpx.Client, sql: str, status: int) -> None:
    answer = api.post("/v1/lake/sql", json={"sql": sql})
    assert answer.status_code == status
    assert answer.json()["error"]["do"]


def test_tables_are_described(api: httpx.Client) -> None:
    tables = {table["name"]: table["columns"] for table in api.get("/v1/lake/tables").json()["tables"]}
    assert set(tables) == {"samples", "signals", "vehicles"}
    assert all(column["description"] for columns in tables.values() for column in columns)


def test_more_queries_than_may_wait_are_sent_away(api: httpx.Client, zone: Zone) -> None:
    states: list[int] = []
    slow = {"sql": "SELECT count(*) FROM range(10000) a, range(10000) b WHERE a.range + b.range = 7"}

    def ask() -> None:
        with httpx.Client(base_url=zone.url, headers=api.headers, timeout=60) as client:
            states.append(client.post("/v1/lake/sql", json=slow).status_code)

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(states) == {200, 503}


def test_catalogue_lists_the_signals(api: httpx.Client) -> None:
    signals = api.get("/v1/catalogue").json()["signals"]
    assert signals[0] == {
        "path": SPEED,
        "type": "float",
        "unit": "km/h",
        "min": None,
        "max": None,
        "kind": "sensor",
        "description": "Speed.",
        "retired": False,
    }


def test_map_is_served_where_there_is_one(api: httpx.Client, zone: Zone) -> None:
    assert api.get("/v1/map").status_code == 404
    zone.map_file.write_text('{"type": "FeatureCollection", "features": []}')
    answer = api.get("/v1/map")
    assert answer.json()["type"] == "FeatureCollection"
    assert answer.headers["content-type"] == "application/geo+json"


def test_quarantine_shows_what_was_refused(api: httpx.Client, zone: Zone) -> None:
    payload = b'{"samples": [{"signal": "Vehicle.Speed", "value": "fast"}]}'
    entry = zone.quarantine(CARS[0], "wrong_type", payload)
    zone.quarantine(CARS[1], "unreadable", b"\x00\x01")
    assert len(api.get("/v1/quarantine").json()["entries"]) == 2
    listed = api.get("/v1/quarantine?cause=wrong_type").json()["entries"]
    assert listed == [
        {
            "id": entry,
            "at": "2026-03-01T12:00:00Z",
            "vehicle": CARS[0],
            "cause": "wrong_type",
            "detail": "why",
            "bytes": len(payload),
        }
    ]
    shown = api.get(f"/v1/quarantine/{entry}").json()
    assert base64.b64decode(shown["payload_base64"]) == payload
    assert shown["decoded"]["samples"][0]["value"] == "fast"
    assert api.get("/v1/quarantine/nothing").status_code == 404


def test_quarantined_batch_is_shown_sample_by_sample(api: httpx.Client, zone: Zone) -> None:
    table = IdTable(((SPEED, "km/h"), (NAME, None)))
    columns = (np.array([0, 1], "u2"), np.array([2, 1], "u4"), np.array([0, 100_000, 0], "i4"))
    batch = Batch(table.hash, 7, 1, MOMENT_US, *columns, np.array([1.0, np.nan, np.nan]), texts={2: "Käfer"})
    entry = zone.quarantine(CARS[0], "not_finite", encode(batch))
    unnamed = api.get(f"/v1/quarantine/{entry}").json()["decoded"]
    assert unnamed["shown"][0] == ["#0", "2026-03-01T12:00:00Z", 1.0]
    zone.records.put_table(table.hash.hex(), table.canonical().decode())
    named = api.get(f"/v1/quarantine/{entry}").json()["decoded"]
    assert named["samples"] == 3
    assert named["shown"][1] == [SPEED, "2026-03-01T12:00:00.100000Z", None]
    assert named["shown"][2] == [NAME, "2026-03-01T12:00:00Z", "Käfer"]


def test_unreadable_payload_has_no_decoded_form(api: httpx.Client, zone: Zone) -> None:
    for payload in (b"", b"{", b"[1]", b"CCB1 cut short", b'{"a": NaN}'):
        entry = zone.quarantine(CARS[0], "unreadable", payload)
        assert api.get(f"/v1/quarantine/{entry}").json()["decoded"] is None
