"""The names under which cars leave, and by which the export meter counts them: neither can be followed back.

Rules:
* Each flow and calendar year has a key of its own, so two flows, or two years, name a car differently. Who destroys a
  year's key ends the last way from its names to the cars.
* The meter's name of a person is one for all flows of a year: the same person by two flows is one person.

Source: RFC 2104 (HMAC) with SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path

from carcloud.safety.keys import private_folder, read_key, read_or_make_key

KEY_BYTES = 32
NAME_DIGITS = 32


class Names:
    """Gives cars their names, under keys in `keys/flows`, each made on first use."""

    def __init__(self, keys: Path) -> None:
        self._folder = private_folder(private_folder(keys) / "flows")
        self._keys: dict[tuple[str, int], bytes] = {}

    def of(self, flow: str, year: int, vehicle: str) -> str:
        """Return the name under which a car's samples of a year leave by a flow."""
        key = self._keys.get((flow, year))
        if key is None:
            key = self._keys[flow, year] = read_or_make_key(self._path(flow, year), _new_key)
        return _digest(key, vehicle)[:NAME_DIGITS]

    def vehicles(self, flow: str, years: Iterable[int], wanted: Collection[str], among: Iterable[str]) -> set[str]:
        """Return which of these cars have one of these names in these years; a year that named none is skipped."""
        cars, found = list(among), set[str]()
        for year in years:
            path = self._path(flow, year)
            if path.exists():
                key = read_key(path)
                found |= {car for car in cars if _digest(key, car)[:NAME_DIGITS] in wanted}
        return found

    def persons(self, year: int, vehicles: Iterable[str]) -> list[str]:
        """Return what the meter knows these cars' persons by."""
        key = read_or_make_key(self._folder / f"meter-{year}.key", _new_key)
        return [_digest(key, vehicle) for vehicle in vehicles]

    def _path(self, flow: str, year: int) -> Path:
        return self._folder / f"flow-{flow}-{year}.key"


def _new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _digest(key: bytes, vehicle: str) -> str:
    return hmac.new(key, vehicle.encode(), hashlib.sha256).hexdigest()
