"""Keys of doors: with them a door to the twin signs what a caller sets, and can sign nothing beyond its list.

Rules:
* There is no such key until somebody makes it; then its private half lies among the zone's keys, for its user only.
* What it may order (commands, cars, for how long) is registered with the order signer, which holds the door to it.
  Whoever takes a door over can order that, and nothing else.
* A door's key says nothing of who asked: the door lets a caller set only what the caller may order, and notes both.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.errors import NotAllowedError
from carcloud.safety.keys import private_folder, read_key, write_file
from carcloud.safety.orders.authorisation import LONGEST_S, draft, key_id, sign
from carcloud.safety.orders.keyring import load_key, new_key
from carcloud.vehicle.commands import COMMANDS, Parameters

LASTS_S = 600
"""How long what a door signs holds, in seconds, where its key does not say less: a car that is away has so long."""

Registered = Mapping[str, Any]
"""A key as the order signer tells of it."""


@dataclass(frozen=True)
class Signed:
    """An authorisation that a door signed, as it travels, and the name of the door."""

    text: str
    signatures: list[dict[str, str]]
    door: str


def doors_folder(keys: Path, tenant: str) -> Path:
    """Return where the private halves of a tenant's doors lie among the zone's keys."""
    return keys / "doors" / tenant


def door_file(keys: Path, tenant: str, name: str) -> Path:
    """Return where the private half of a door lies among the zone's keys."""
    return doors_folder(keys, tenant) / f"{name}.key"


def new_door(file: Path) -> ec.EllipticCurvePublicKey:
    """Make a door's key, mode 0600, and return its public half."""
    made = new_key()
    for folder in reversed(file.parents[:2]):
        private_folder(folder)
    write_file(file, made)
    return load_key(made).public_key()


class Doors:
    """The keys of doors that lie among the zone's keys. Reads them anew each time: one may be made while it runs."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys

    def sign(
        self,
        tenant: str,
        vehicle: str,
        command: str,
        parameters: Parameters,
        registered: Sequence[Registered],
    ) -> Signed:
        """Sign an order for a caller who may give it.

        Args:
            registered: the keys that the order signer knows.

        Raises:
            NotAllowedError: no door may order this of this car.
        """
        mine = {key_id(key.public_key()): key for key in self._private(tenant)}
        for one in registered:
            if one["key"] in mine and _may(one, vehicle, command):
                role = next(role for role in one["roles"] if role in COMMANDS[command].roles)
                now, lasts_s = int(time.time()), min(one["longest_s"] or LASTS_S, LONGEST_S)
                text = draft(tenant, [vehicle], command, parameters, role, now, now + lasts_s)
                signature = sign(mine[one["key"]], text)
                sent = {"key": signature.key, "signature": base64.b64encode(signature.value).decode()}
                return Signed(text.decode(), [sent], one["name"])
        do = f"Have one made: carcloud operator door NAME --command {command} --vehicle {vehicle}."
        raise NotAllowedError(f"No door may order {command} of this car.", do)

    def _private(self, tenant: str) -> list[ec.EllipticCurvePrivateKey]:
        return [load_key(read_key(file)) for file in sorted(doors_folder(self._keys, tenant).glob("*.key"))]


def _may(one: Registered, vehicle: str, command: str) -> bool:
    cars, commands = one["vehicles"], one["commands"]
    return (not cars or vehicle in cars) and command in commands and bool({*one["roles"]} & COMMANDS[command].roles)
