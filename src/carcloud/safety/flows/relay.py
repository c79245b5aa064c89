"""What a flow to a platform says besides: an authority's platform, which is told by GB/T 32960 what cars report.

Rules:
* The platform learns of each car by its VIN: the protocol has no other name. So no pseudonym is possible, and a relay
  names its cars, or says `all`.
* The file names where the password lies; the password itself stands nowhere else.
* Without TLS only where the file says so, for a line of one's own.

Source: GB/T 32960.3-2016 and -2025, 6.1 (platform to platform).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carcloud.safety.flows.checks import known, need, whole
from carcloud.vehicle.batch import TOKEN

ALL = "all"
EDITIONS = (2016, 2025)
LIMIT_RELAYS = 16
LIMIT_USER, LIMIT_CODE, LIMIT_PATH, LIMIT_CARS = 12, 17, 1024, 100_000
KEYS = frozenset({"address", "edition", "user", "password_file", "code", "vehicles", "tls", "ca"})
"""Keys of a relay that a flow to a zone does not have."""

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9a-fA-F:]{2,45}\]")
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Platform:
    """Where a relay goes, and as whom. `code`: the sender's own name in frames, in place of a VIN.

    edition: 2016 or 2025. vehicles: ids of the cars; None: all. ca: the authority of the platform's certificate, "":
    those the system trusts.
    """

    host: str
    port: int
    edition: int
    user: str
    password_file: str
    code: str
    vehicles: frozenset[str] | None = None
    tls: bool = True
    ca: str = ""

    def said(self) -> dict[str, Any]:
        """Return it as plain values."""
        cars = ALL if self.vehicles is None else sorted(self.vehicles)
        return vars(self) | {"vehicles": cars}


def parse_platform(entry: Mapping[str, Any], where: str) -> Platform:
    """Read the keys of a relay that a flow does not have; raise InputError."""
    known(entry, set(KEYS), where)
    host, port = _address(entry.get("address"), where)
    edition: Any = entry.get("edition")
    user, code = entry.get("user"), entry.get("code")
    need(whole(edition) and edition in EDITIONS, where, "has no `edition`", "Give 2016 or 2025.")
    need(_fits(user, LIMIT_USER), where, "has no `user`", f"Give the name of 1 to {LIMIT_USER} signs you log in by.")
    do = f"Give the code of 1 to {LIMIT_CODE} signs by which the platform knows yours."
    need(_fits(code, LIMIT_CODE), where, "has no `code`", do)
    password_file, ca, tls = entry.get("password_file"), entry.get("ca", ""), entry.get("tls", True)
    fits = isinstance(password_file, str) and 0 < len(password_file) <= LIMIT_PATH
    need(fits, where, "does not say where its password lies", "Write it to a file of your own; name it here.")
    need(isinstance(ca, str) and len(ca) <= LIMIT_PATH, where, "has a `ca` that is no path", "Give a PEM file's path.")
    need(isinstance(tls, bool), where, "has a `tls` that is neither true nor false", "Mend it.")
    need(tls or not ca, where, "has a `ca`, and no TLS", "Leave one of the two out.")
    cars = _vehicles(entry.get("vehicles"), where)
    return Platform(host, port, int(edition), str(user), str(password_file), str(code), cars, bool(tls), str(ca))


def _fits(text: object, limit: int) -> bool:
    return isinstance(text, str) and len(text) <= limit and _PRINTABLE.fullmatch(text) is not None


def _address(value: Any, where: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    fits = _HOST.fullmatch(host) is not None and re.fullmatch(r"[0-9]{1,5}", port) is not None
    need(fits and 0 < int(port) < 65_536, where, "has no `address`", "Give host and port, like platform.example:32960.")
    return host.strip("[]"), int(port)


def _vehicles(value: Any, where: str) -> frozenset[str] | None:
    if value == ALL:
        return None
    fits = isinstance(value, list) and 0 < len(value) <= LIMIT_CARS
    fits = fits and all(isinstance(car, str) and TOKEN.fullmatch(car) for car in value)
    need(fits, where, "does not say which cars", f"List their ids in `vehicles`, or write `vehicles: {ALL}`.")
    return frozenset(value)
