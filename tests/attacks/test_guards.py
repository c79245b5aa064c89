"""What an enrolled car, or whoever stole its certificate, can make the zone store: only what the guards let through."""

from __future__ import annotations

import secrets
import time

import numpy as np
import pytest

from carcloud.vehicle.batch import LIMIT_BODY_BYTES, Batch, IdTable, encode
from tests.attacks.attacker import Car, refused, sample, seen, until_seen
from tests.attacks.conftest import enrolled
from tests.zone import RunningZone, until


def test_a40_unknown_path_is_dropped_and_counted(target: RunningZone) -> None:
    before = refused(target).get("unknown_signal", 0)
    with Car(target, enrolled(target)) as own:
        own.say({"samples": [{"signal": "Vehicle.Owner.Name", "value": "x"}, {"signal": "Vehicle.Speed", "value": 47}]})
        until_seen(target, own.id, 47)
        assert seen(target, own.id) == {"Vehicle.Speed": 47}
        until(lambda: refused(target).get("unknown_signal", 0) > before, "it was not counted", 5)
        until(lambda: target.sql("SELECT 1 FROM samples WHERE vehicle = $v", v=own.id), "not in the lake", 20)
        assert target.sql("SELECT DISTINCT signal FROM samples WHERE vehicle = $v", v=own.id) == [["Vehicle.Speed"]]


BODIES: dict[str, object] = {
    "rubbish": secrets.token_bytes(1000),
    "empty": b"",
    "a chunk of the governed stream": b"\xff\xff\xff\xff\x10\x02\x00\x00" + bytes(500),
    "a header that lies": b"CCB1" + bytes(52),
    "JSON that nests for ever": b'{"samples":' + b"[" * 60_000,
    "a number of a hundred thousand digits": b'{"samples":[{"signal":"Vehicle.Speed","value":'
    + b"9" * 100_000
    + b"}]}",
    "a value beyond the range": sample(1e300),
    "NaN": b'{"samples":[{"signal":"Vehicle.Speed","value":NaN}]}',
    "a time in a thousand years": sample(1, time="3026-01-01T00:00:00Z"),
    "a time before cars": sample(1, time="1700-01-01T00:00:00Z"),
    "a time beyond all clocks": sample(1, time=2**63 - 1),
    "the vehicle of another": sample(1) | {"vehicle": "aaaaaaaaaaaaaaaa", "tenant": "other"},
    "SQL for a signal": sample(1, "'; DROP TABLE vehicles; --"),
    "a path into the folder": sample(1, "../../../keys/receipt.key"),
    "a queue of another shape": sample(1) | {"queue": "../../x", "number": 1},
    "a number below one": sample(1) | {"queue": "00000000000000aa", "number": -1},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a43_body_that_is_no_honest_batch(target: RunningZone, body: object) -> None:
    with Car(target, enrolled(target)) as own:
        own.say(body)
        own.say(sample(48))
        until_seen(target, own.id, 48)
        assert seen(target, own.id) == {"Vehicle.Speed": 48}
        assert not own.cut.is_set()


def test_a43_zip_bomb(target: RunningZone) -> None:
    """A body that says it unpacks to more than the limit, and one that unpacks to more than it says."""
    samples = LIMIT_BODY_BYTES // 12 - 8
    columns = (np.array([0], "u2"), np.array([samples], "u4"), np.zeros(samples, "i4"), np.zeros(samples))
    table = IdTable((("Vehicle.Speed", "km/h"),))
    honest = encode(Batch(table.hash, 9, 1, time.time_ns() // 1000, *columns))
    with Car(target, enrolled(target)) as own:
        for at in range(56, 66):
            own.say(honest[:at] + b"\xff" + honest[at + 1 :])
            time.sleep(0.2)  # faster would be a flood
        own.say(sample(49))
        until_seen(target, own.id, 49)
        assert seen(target, own.id) == {"Vehicle.Speed": 49}


def test_provenance_cannot_be_claimed_beyond_the_list(target: RunningZone) -> None:
    with Car(target, enrolled(target)) as own:
        own.say(sample(200) | {"provenance": "certified"})
        own.say(sample(50) | {"provenance": "simulated"})
        until_seen(target, own.id, 50)
        cell = target.get(f"/v1/vehicles/{own.id}/signals")["signals"]["Vehicle.Speed"]
        assert (cell["value"], cell["provenance"]) == (50, "simulated")
