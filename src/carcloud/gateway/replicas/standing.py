"""How far a replica has come: the place in the other zone's flow, and the page that is on its way in.

Rules:
* A page is written down before its first batch is sent: where it ends, and for each car the queue and the keys of its
  batches, of which number n is the n-th. No row of it stands here.
* The place moves on only when all of the page is acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import orjson

from carcloud.gateway.replicas.parcels import Key


@dataclass(frozen=True)
class Sending:
    """The batches of one car in a page: their queue, and their keys in the order of their numbers, from 1.

    past: keys of batches that came in under an earlier queue.
    """

    queue: int
    keys: tuple[Key, ...]
    past: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Standing:
    """Where a replica stands. after: the place up to which all is in. upto: where the page on its way ends; None: none.

    cars: vehicle → its batches in that page. rows: how many came ever. at: when something came last.
    """

    after: str | None = None
    upto: str | None = None
    cars: dict[str, Sending] = field(default_factory=dict)
    rows: int = 0
    at: str = ""

    def moved(self, after: str, rows: int, now: datetime) -> Standing:
        """Return where it stands once a page of so many rows is in."""
        at = now.isoformat(timespec="seconds").replace("+00:00", "Z") if rows else self.at
        return replace(self, after=after, upto=None, cars={}, rows=self.rows + rows, at=at)

    def dump(self) -> str:
        """Return it as text."""
        cars = {car: [f"{sending.queue:016x}", sending.keys, sending.past] for car, sending in self.cars.items()}
        body = {"after": self.after, "upto": self.upto, "cars": cars, "rows": self.rows, "at": self.at}
        return orjson.dumps(body).decode()

    @classmethod
    def load(cls, text: str | None) -> Standing:
        """Read what `dump` wrote; None: nothing has come yet."""
        if text is None:
            return cls()
        body = orjson.loads(text)
        cars = {car: Sending(int(said[0], 16), *map(_keys, said[1:])) for car, said in body.pop("cars").items()}
        return cls(**body, cars=cars)


def _keys(rows: list[list[int]]) -> tuple[Key, ...]:
    return tuple((table, kind, hour, part) for table, kind, hour, part in rows)
