"""Whose signatures count: public keys of people, registered on the order signer's side and nowhere else.

Rules:
* A key stands in a file of its own in the signer's folder: who, which roles, and for an owner which cars.
* A door's key, which no person holds, is for some commands only, and for orders that end soon.
* A browser's key is paired by a one-time code: shown on the signer's side, used once, for ten minutes, five tries.

Source: RFC 2104 (the code's HMAC over name and key).
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.errors import ConflictError, InputError, MissingError, NotAllowedError
from carcloud.safety.keys import private_folder, read_key, write_file
from carcloud.safety.orders.authorisation import key_id
from carcloud.safety.orders.session import point, public_key
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.commands import COMMANDS, OWNER, ROLES
from carcloud.vehicle.order import OrderError

PAIRING_S = 600
TRIES = 5
PAIRING_PURPOSE = b"carcloud/order-pairing/v1\n"
_CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_CODE_LENGTH = 16


@dataclass(frozen=True)
class PersonKey:
    """A registered key: `point` in base64; `vehicles` empty means every car of the tenant.

    label: where the private key lies: `development` (a file that `carcloud operator add` made), `given`, `browser`, or
    `door` (with a door to the twin).
    commands: what it may order; empty means all that its roles may. longest_s: how long what it signs may hold, in
    seconds; 0 means as long as anybody's.
    """

    name: str
    key: str
    point: str
    roles: tuple[str, ...]
    vehicles: tuple[str, ...]
    label: str
    added_at: int
    commands: tuple[str, ...] = ()
    longest_s: int = 0

    @property
    def public(self) -> ec.EllipticCurvePublicKey:
        """Return the key itself."""
        return public_key(base64.b64decode(self.point))


class People:
    """The registered keys in a signer's folder. `clock` gives seconds since 1970 UTC."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = private_folder(folder / "people")
        self._pairings = private_folder(folder / "pairings")
        self._clock = clock

    def all(self) -> list[PersonKey]:
        """Return every registered key, in the order of names."""
        return [_read(path) for path in sorted(self._folder.glob("*.json"))]

    def find(self, key: str) -> PersonKey:
        """Return a registered key by its id; raise NotAllowedError where there is none."""
        for path in self._folder.glob(f"*.{key}.json") if key.isalnum() else ():
            return _read(path)
        do = "Register it on the signer's side: carcloud operator add, or carcloud operator pair."
        raise NotAllowedError("The order signer does not know this key.", do)

    def add(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        roles: Sequence[str],
        vehicles: Sequence[str],
        label: str,
        commands: Sequence[str] = (),
        longest_s: int = 0,
    ) -> PersonKey:
        """Register a key.

        Raises:
            InputError: name, roles, cars or commands are wrong.
            ConflictError: the key is registered already.
        """
        _check(name, roles, vehicles)
        if unknown := set(commands) - COMMANDS.keys():
            raise InputError(f"{min(unknown)[:40]!r} is no command.", f"Use one of: {', '.join(COMMANDS)}.")
        id_ = key_id(key)
        if any(self._folder.glob(f"*.{id_}.json")):
            raise ConflictError("This key is registered already.", "Remove it first: carcloud operator remove.")
        text = base64.b64encode(point(key)).decode()
        for_, kinds, can = tuple(vehicles), tuple(sorted(set(roles))), tuple(sorted(set(commands)))
        added = PersonKey(name, id_, text, kinds, for_, label, int(self._clock()), can, longest_s)
        write_file(self._folder / f"{name}.{id_}.json", json.dumps(asdict(added), indent=1).encode())
        return added

    def remove(self, name: str) -> int:
        """Forget a person's keys; return how many there were."""
        found = [path for path in self._folder.glob("*.json") if _read(path).name == name]
        for path in found:
            path.unlink()
        return len(found)

    def pair(self, name: str, roles: Sequence[str], vehicles: Sequence[str]) -> str:
        """Return a new one-time code by which a browser may register a key in this name."""
        _check(name, roles, vehicles)
        code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(_CODE_LENGTH))
        waiting = {"code": code, "roles": list(roles), "vehicles": list(vehicles)}
        self._wait(name, waiting | {"until": int(self._clock()) + PAIRING_S, "tries": TRIES})
        return code

    def take_pairing(self, name: str, point_: bytes, proof: bytes) -> PersonKey:
        """Register a browser's key whose proof is the code's HMAC over name and key.

        Raises:
            NotAllowedError: no code waits for this name, its time is over, or the proof is wrong.
            InputError: the key is none.
        """
        path = self._pairings / f"{name}.json"
        if not TOKEN.fullmatch(name) or not path.exists():
            raise _no_pairing()
        waiting = json.loads(read_key(path))
        path.unlink()
        if waiting["until"] < self._clock():
            raise _no_pairing()
        if not hmac.compare_digest(pairing_proof(waiting["code"], name, point_), proof):
            if waiting["tries"] > 1:
                self._wait(name, waiting | {"tries": waiting["tries"] - 1})
            raise _no_pairing()
        try:
            key = public_key(point_)
        except OrderError as error:
            raise InputError(f"This is no key: {error}.", "Send the 65 bytes of a P-256 public key.") from None
        return self.add(name, key, waiting["roles"], waiting["vehicles"], "browser")

    def _wait(self, name: str, waiting: dict[str, object]) -> None:
        write_file(self._pairings / f"{name}.json", json.dumps(waiting).encode())


def pairing_proof(code: str, name: str, point_: bytes) -> bytes:
    """Return the proof that a browser with this code sends with its key."""
    return hmac.digest(code.encode(), PAIRING_PURPOSE + name.encode() + b"\n" + point_, "sha256")


def _read(path: Path) -> PersonKey:
    try:
        found = json.loads(read_key(path))
        return PersonKey(**found | {name: tuple(found[name]) for name in ("roles", "vehicles", "commands")})
    except (ValueError, TypeError, KeyError):
        raise MissingError(f"{path} is damaged.", "Remove the file, and register the key again.") from None


def _check(name: str, roles: Sequence[str], vehicles: Sequence[str]) -> None:
    if not TOKEN.fullmatch(name):
        raise InputError(f"{name[:80]!r} is no name.", "Use 1 to 64 letters, digits, _ and -.")
    if not roles or set(roles) - set(ROLES):
        raise InputError("A key needs a role.", f"Use --role with one of {', '.join(ROLES)}.")
    if OWNER in roles and not vehicles:
        raise InputError("An owner's key is for certain cars.", "Name them with --vehicle.")
    if not all(TOKEN.fullmatch(vehicle) for vehicle in vehicles):
        raise InputError("A vehicle's id has letters, digits, _ and - only.", "List them: carcloud vehicles.")


def _no_pairing() -> NotAllowedError:
    return NotAllowedError("No such pairing waits.", "Have a new code shown: carcloud operator pair NAME.")
