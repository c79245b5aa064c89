"""The replicator: reads another zone's flow page by page, and brings what it reads into this zone's stream.

Rules:
* What comes in passes the same guards and this zone's own governance, as vehicles of this zone of a state of their own.
* The page that is on its way is written down first, the place moves on last: whoever is killed between the two asks for
  the same page again, and the numbers of its batches tell what is in already. Nothing is lost, nothing comes twice.
* Where the other zone gives less of that page by then, what is still given and not in yet comes under a new queue.
* After pages without a row that say there is more it asks slowly; more than some of them in a row are nonsense.
* One page is in memory at a time. Whatever fails raises an alarm and is tried again, after growing pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import CarcloudError, ConflictError, InputError, NotAllowedError, TryLaterError
from carcloud.gateway.replicas.delivery import Delivery, StuckError
from carcloud.gateway.replicas.parcels import Car, Packer
from carcloud.gateway.replicas.standing import Sending, Standing
from carcloud.safety.flows.reader import FlowReader, NonsenseError, Page, RefusedError
from carcloud.safety.flows.replica import Replica
from carcloud.safety.keys import read_key
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.catalogue import Catalogue

log = logging.getLogger(__name__)

PAGE_ROWS = 50_000
LIMIT_ANSWERS = 1000
CARS_AT_ONCE = 16
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
LIMIT_EMPTY = 20
"""So many pages in a row may say that there is more, and hold no row: cars may have been withdrawn meanwhile."""
PATIENT = 2
"""A source that is away raises an alarm the second time in a row: a zone may start anew."""

_CODES: tuple[tuple[type[CarcloudError], str], ...] = (
    (NonsenseError, "replica_nonsense"),
    (RefusedError, "replica_refused"),
    (StuckError, "replica_stuck"),
    (TryLaterError, "replica_away"),
    (InputError, "replica_unusable"),
    (NotAllowedError, "replica_unusable"),
    (ConflictError, "replica_nonsense"),
)
Read = Callable[[dict[str, Any]], Page]
"""Asks the other zone; raises as `FlowReader`. Waits for the network: called in a thread."""


class Replicator:
    """Brings one replica in. `read` asks the other zone; None: over HTTP, as declared."""

    def __init__(
        self,
        replica: Replica,
        tenant: str,
        catalogue: Catalogue,
        records: Records,
        vehicles: Bus,
        read: Read | None = None,
    ) -> None:
        self.replica, self._tenant, self._records = replica, tenant, records
        self._packer, self._read = Packer(catalogue), read or self._over_http
        self._delivery = Delivery(vehicles, tenant, self._packer.tables, self._stands)
        self._alarm: dict[str, str] | None = None
        self._failures = self._empty = 0

    async def run(self, turns: asyncio.Semaphore) -> None:
        """Bring in what comes until cancelled; `turns` bounds how many replicas hold a page at once."""
        while True:
            pause = float(self.replica.every_s)
            try:
                async with turns:
                    more = await self.step()
                self._alarm, self._failures = None, 0
                pause = pause if not more else FIRST_PAUSE_S if self._empty else 0.0
            except CarcloudError as error:
                self._failed(error)
                pause = min(FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 20), LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    @property
    def alarms(self) -> list[dict[str, str]]:
        """Return the alarm that stands, if one does."""
        return [self._alarm] if self._alarm else []

    async def step(self) -> bool:
        """Bring in the next page, or what is left of the last one; return whether more waits there.

        Raises CarcloudError where it cannot.
        """
        standing = Standing.load(await asyncio.to_thread(self._records.replicas.place, self.replica.name))
        if standing.upto is None:
            page = await asyncio.to_thread(self._read, {"after": standing.after, "limit": PAGE_ROWS})
            if not page.rows.num_rows:
                if page.more or standing.after is None:
                    await self._save(standing.moved(page.next, 0, datetime.now(UTC)))
                self._empty = self._empty + 1 if page.more else 0
                if self._empty > LIMIT_EMPTY:
                    raise NonsenseError(
                        "The other zone says again and again that there is more, and gives no row.", "Ask who runs it."
                    )
                return page.more
            self._empty = 0
            cars = await self._cars(page)
            rows = sum(map(len, cars.values()))
            sending = {vehicle: Sending(_new_queue(), car.keys) for vehicle, car in cars.items()}
            standing = replace(standing, upto=page.next, cars=sending)
            await self._save(standing)
        else:
            page = await asyncio.to_thread(self._again, standing)
            cars = await self._cars(page)
            rows = sum(map(len, cars.values()))
            standing = await self._fitted(standing, cars)
        await self._bring(standing, cars)
        assert standing.upto is not None
        await self._save(standing.moved(standing.upto, rows, datetime.now(UTC)))
        return True

    async def _cars(self, page: Page) -> dict[str, Car]:
        """Return what a page says, by the ids of our vehicles."""
        packed = await asyncio.to_thread(self._packer.cars, page)
        _check(packed)
        now = datetime.now(UTC)
        ids = await asyncio.to_thread(self._records.replicas.take, self.replica.name, packed, self._tenant, now)
        return {ids[name]: car for name, car in packed.items() if name in ids}

    async def _fitted(self, standing: Standing, cars: Mapping[str, Car]) -> Standing:
        """Return the standing with what the other zone still gives of the page; written down where it is another."""
        changed = {}
        for vehicle, car in cars.items():
            sent = standing.cars[vehicle]
            car.leave_out(sent.past)
            if sent.keys != car.keys:
                done = await self._delivery.mark(vehicle, sent.queue, set())
                past = (*sent.past, *sent.keys[: done or 0])
                car.leave_out(past)
                changed[vehicle] = Sending(_new_queue(), car.keys, past)
        if changed:
            standing = replace(standing, cars=standing.cars | changed)
            await self._save(standing)
        return standing

    async def _bring(self, standing: Standing, cars: Mapping[str, Car]) -> None:
        turns = asyncio.Semaphore(CARS_AT_ONCE)

        async def one(vehicle: str, car: Car) -> None:
            async with turns:
                await self._bring_car(vehicle, car, standing.cars[vehicle].queue)

        try:
            async with asyncio.TaskGroup() as group:
                for vehicle, car in cars.items():
                    if car.parcels:
                        group.create_task(one(vehicle, car))
        except BaseExceptionGroup as errors:
            if known := [error for error in errors.exceptions if isinstance(error, CarcloudError)]:
                raise known[0] from None
            raise

    async def _bring_car(self, vehicle: str, car: Car, queue: int) -> None:
        tables = {parcel.key[0] for parcel in car.parcels}
        done = await self._delivery.mark(vehicle, queue, tables)
        if done is None:
            return

        def payload(number: int) -> bytes:
            return car.encoded(car.parcels[number - 1], self._packer.tables, queue, number)

        await self._delivery.bring(vehicle, queue, len(car.parcels), tables, payload, done)

    def _again(self, standing: Standing) -> Page:
        """Ask once more for the page on its way: the rows of its cars, wherever the other zone's answers end now."""
        after, kept, units = standing.after, [], dict[str, str | None]()
        for _ in range(LIMIT_ANSWERS):
            page = self._read({"after": after, "upto": standing.upto, "limit": PAGE_ROWS})
            names = set(page.rows["vehicle"].unique().to_pylist())
            _check(names)
            ids = self._records.replicas.known(self.replica.name, names)
            mine = pa.array(sorted(name for name, car in ids.items() if car in standing.cars), pa.string())
            kept.append(page.rows.replace_schema_metadata().filter(pc.is_in(page.rows["vehicle"], mine)))
            units |= page.units
            if sum(rows.num_rows for rows in kept) > PAGE_ROWS:
                break
            if not page.more:
                return Page(pa.concat_tables(kept), page.next, False, units)
            after = page.next
        raise NonsenseError("The other zone gives more of a page than it did before.", "Ask who runs it.")

    async def _save(self, standing: Standing) -> None:
        await asyncio.to_thread(self._records.replicas.set_place, self.replica.name, standing.dump())

    async def _stands(self, vehicle: str) -> bool:
        return bool(await asyncio.to_thread(self._records.replicas.standing, [vehicle]))

    def _over_http(self, question: dict[str, Any]) -> Page:
        replica = self.replica
        try:
            secret = read_key(Path(replica.token_file)).decode("ascii", "replace").strip()
        except OSError as error:
            do = "Write the token that the other zone gave out into it."
            raise InputError(f"The token file cannot be read: {error.strerror}.", do) from None
        with contextlib.closing(FlowReader(replica.url, replica.flow, secret, replica.ca)) as reader:
            return reader.page({key: value for key, value in question.items() if value is not None})

    def _failed(self, error: CarcloudError) -> None:
        self._failures += 1
        code = next((code for kind, code in _CODES if isinstance(error, kind)), "replica_nonsense")
        log.warning("a replica does not come in", extra={"replica": self.replica.name, "reason": str(error)})
        if code == "replica_away" and self._failures < PATIENT:
            return
        since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if self._alarm and self._alarm["code"] == code:
            since = self._alarm["since"]
        message = f"Replica {self.replica.name}: {error.message}"
        do = error.do or "Ask who runs the other zone."
        self._alarm = {"code": code, "message": message, "do": do, "since": since}


def _check(names: Collection[str]) -> None:
    """Raise NonsenseError where a car is named as no zone names one."""
    if not all(TOKEN.fullmatch(name) for name in names):
        raise NonsenseError("The other zone names cars as no zone does.", "Ask who runs it.")


def _new_queue() -> int:
    return secrets.randbits(64) or 1
