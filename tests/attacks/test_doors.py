"""Doors to the twin: who has taken one over orders its list and no more; who has no token reads nothing by them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import grpc
import httpx
import pytest
import websockets.exceptions
from kuksa.val.v1 import val_pb2, val_pb2_grpc
from websockets.sync.client import connect

from carcloud.errors import NotAllowedError
from carcloud.safety.keys import read_key
from carcloud.safety.orders.authorisation import Signature, draft, sign
from carcloud.safety.orders.doors import door_file
from carcloud.safety.orders.keyring import load_key
from tests.attacks.ordered import Taken, as_sent
from tests.zone import RunningZone, carcloud

SPEED = "Vehicle.Speed"


class TakenDoor:
    """The zone's processes, taken over, with the key of a door that may lock and unlock one car for a minute."""

    def __init__(self, taken: Taken) -> None:
        self.taken, zone = taken, taken.zone
        self.car, self.other = (zone.enrol(f"door-{name}")[0].vehicle.id for name in ("one", "two"))
        made = self.operator("door", "taken", "--command", "lock", "--vehicle", self.car, "--within", "60")
        assert made.returncode == 0, made.stderr
        self.file = door_file(zone.folder.keys, "default", "taken")
        self.key = load_key(read_key(self.file))

    def operator(self, act: str, *more: str) -> subprocess.CompletedProcess[str]:
        return carcloud("operator", act, *more, "--data", str(self.taken.zone.data))

    def forge(self, command: str, car: str, lasts_s: int = 60, **parameters: float) -> tuple[bytes, list[Signature]]:
        now = int(time.time())
        text = draft("default", [car], command, parameters, "fleet", now, now + lasts_s)
        return text, [sign(self.key, text)]

    def check(self, text: bytes, signatures: list[Signature]) -> None:
        self.taken.signer.check(text.decode(), as_sent(signatures))


@pytest.fixture(scope="module")
def door(target: RunningZone) -> Iterator[TakenDoor]:
    taken = Taken(target)
    yield TakenDoor(taken)
    taken.close()


def test_taken_over_door_orders_no_other_command_car_or_time(door: TakenDoor) -> None:
    door.check(*door.forge("lock", door.car))
    for command, car, lasts_s in (
        ("unlock", door.car, 60),
        ("climate-start", door.car, 60),
        ("lock", door.other, 60),
        ("lock", door.car, 61),
    ):
        with pytest.raises(NotAllowedError):
            door.check(*door.forge(command, car, lasts_s))
    text, signatures = door.forge("lock", door.car)
    with pytest.raises(NotAllowedError, match="not the key's"):
        door.check(text.replace(door.car.encode(), door.other.encode()), signatures)


def test_taken_over_door_whose_key_was_removed_orders_nothing(door: TakenDoor) -> None:
    before = door.forge("lock", door.car)
    door.check(*before)
    assert door.operator("remove", "taken").returncode == 0
    assert not door.file.exists()
    for given in (before, door.forge("lock", door.car)):
        with pytest.raises(NotAllowedError, match="does not know"):
            door.check(*given)


def test_token_of_the_zone_sets_nothing_by_any_door(target: RunningZone, door: TakenDoor) -> None:
    path = "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
    answer = target.client.post(f"/v1/vehicles/{door.car}/viss/{path}", json={"value": "true"})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (403, "forbidden_request")


def test_stranger_and_foreign_page_read_nothing_by_the_viss_door(target: RunningZone, door: TakenDoor) -> None:
    assert httpx.get(f"{target.url}/v1/vehicles/{door.car}/viss/{SPEED}", trust_env=False).status_code == 401
    address = f"{target.url.replace('http', 'ws')}/v1/vehicles/{door.car}/viss"
    with connect(address, proxy=None) as socket:
        for said in ({}, {"authorization": "cct_guessed"}):
            socket.send(json.dumps({"action": "get", "path": SPEED} | said))
            assert json.loads(socket.recv(timeout=30))["error"]["number"] == "401"
    token = {"Authorization": f"Bearer {target.token}"}
    for headers in ({"Origin": "https://evil.example"}, token | {"Origin": "null"}, {"Authorization": "Bearer no"}):
        with pytest.raises(websockets.exceptions.InvalidStatus):
            connect(address, proxy=None, additional_headers=headers)


def test_stranger_reads_nothing_by_the_kuksa_door(target: RunningZone, door: TakenDoor) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{target.file.kuksa}") as channel:
        stub = val_pb2_grpc.VALStub(channel)
        asked = val_pb2.GetRequest(entries=[val_pb2.EntryRequest(path=SPEED)])
        for said in ((), (("authorization", f"Bearer {door.car}:cct_guessed"),)):
            for call, request in ((stub.Get, asked), (stub.GetServerInfo, val_pb2.GetServerInfoRequest())):
                with pytest.raises(grpc.RpcError) as refused:
                    call(request, metadata=said, timeout=30)
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
