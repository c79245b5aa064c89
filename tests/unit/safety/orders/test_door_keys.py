"""Doors' keys: what a door may order, and what nobody who has taken it over can."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from carcloud.errors import InputError, NotAllowedError
from carcloud.safety.keys import read_key
from carcloud.safety.orders.authorisation import Signature, draft, sign
from carcloud.safety.orders.doors import Doors, door_file, doors_folder, new_door
from carcloud.safety.orders.keyring import load_key
from carcloud.vehicle.commands import Domain
from tests.unit.safety.orders.pair import Body, Clock, Pair

LASTS_S = 300


class Door:
    """An order signer with a door that may lock and unlock one car, and whoever has taken the door over."""

    def __init__(self, folder: Path) -> None:
        self.pair, self.keys = Pair(folder, Clock()), folder / "zone"
        self.file = door_file(self.keys, "default", "viss")
        given = new_door(self.file)
        self.registered = self.pair.people.add("viss", given, ["fleet"], ["a1"], "door", ["lock", "unlock"], LASTS_S)

    def known(self) -> list[dict[str, object]]:
        return [vars(one) for one in self.pair.people.all()]

    def forge(
        self, command: str, vehicle: str = "a1", lasts_s: int = LASTS_S, **parameters: float
    ) -> tuple[bytes, list[Signature]]:
        now = int(self.pair.clock())
        text = draft("default", [vehicle], command, parameters, "fleet", now, now + lasts_s)
        return text, [sign(load_key(read_key(self.file)), text)]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_what_a_door_signs_is_carried_out(door: Door) -> None:
    body = Body()
    car = door.pair.car("a1", body)
    made = Doors(door.keys).sign("default", "a1", "unlock", {}, door.known())
    assert made.door == "viss"
    assert made.signatures[0]["key"] == door.registered.key
    text, signatures = door.forge("unlock")
    door.pair.handshake("a1", car, Domain.ACCESS)
    door.pair.tell("a1", car, door.pair.signed("a1", text, signatures).encode())
    assert body.done == [("unlock", {})]


def test_a_door_that_was_taken_over_orders_nothing_beyond_its_list(door: Door) -> None:
    for command, vehicle, parameters in (
        ("climate-start", "a1", {}),
        ("horn", "a1", {"seconds": 1.0}),
        ("unlock", "b2", {}),
    ):
        with pytest.raises(NotAllowedError, match="not registered for"):
            door.pair.signer.check(*door.forge(command, vehicle, **parameters))


def test_a_door_that_was_taken_over_orders_nothing_for_longer_than_it_may(door: Door) -> None:
    with pytest.raises(NotAllowedError, match="hold 300 s at most"):
        door.pair.signer.check(*door.forge("unlock", lasts_s=LASTS_S + 1))
    text, signatures = door.forge("unlock")
    end = str(int(door.pair.clock()) + LASTS_S).encode()
    longer = text.replace(end, str(int(door.pair.clock()) + LASTS_S - 1).encode())
    with pytest.raises(NotAllowedError, match="not the key's"):
        door.pair.signer.check(longer, signatures)
    door.pair.clock.now += LASTS_S
    with pytest.raises(NotAllowedError, match="expired"):
        door.pair.signer.check(text, signatures)


def test_a_removed_door_orders_nothing_also_what_it_signed_before(door: Door) -> None:
    given = door.forge("unlock")
    door.pair.signer.check(*given)
    door.pair.people.remove("viss")
    with pytest.raises(NotAllowedError, match="does not know"):
        door.pair.signer.check(*given)
    with pytest.raises(NotAllowedError, match="No door may"):
        Doors(door.keys).sign("default", "a1", "unlock", {}, door.known())


def test_no_door_no_order(door: Door, tmp_path: Path) -> None:
    for doors, command, vehicle in (
        (Doors(tmp_path / "none"), "unlock", "a1"),
        (Doors(door.keys), "climate-start", "a1"),
        (Doors(door.keys), "unlock", "b2"),
    ):
        with pytest.raises(NotAllowedError, match="No door may order"):
            doors.sign("default", vehicle, command, {}, door.known())
    with pytest.raises(NotAllowedError):
        Doors(door.keys).sign("other", "a1", "unlock", {}, door.known())


def test_a_doors_key_is_for_its_user_only(door: Door) -> None:
    assert stat.S_IMODE(door.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(doors_folder(door.keys, "default").stat().st_mode) == 0o700
    door.file.chmod(0o644)
    with pytest.raises(NotAllowedError, match="Others can read"):
        Doors(door.keys).sign("default", "a1", "unlock", {}, door.known())


def test_a_door_is_not_registered_for_what_is_no_command(door: Door, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no command"):
        door.pair.people.add("x", new_door(tmp_path / "x.key"), ["fleet"], [], "door", ["fly"], LASTS_S)
