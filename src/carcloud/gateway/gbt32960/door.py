"""The door: connections of terminals and platforms, over TCP and TLS, and the cars that are logged in.

Rules:
* What a connection may do its session decides (`session.py`), `connection.py` is its socket; here is whom it lets in.
* A VIN has one session, and nobody who knows a VIN can end it: a second login is answered 03 until the first has said
  nothing for `idle_s`. That is longer than a terminal may be silent. Of a car that a platform brings, its own frames
  count, and not the platform's.
* A report is answered once it is durable, or with what is wrong with it. What it says that can be read is kept.
* No connection waits for another: a lookup, a password, a dear signature, a full disk hold up whom they are about.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from carcloud.errors import CarcloudError
from carcloud.gateway.gate import Gate
from carcloud.gateway.gbt32960.admission import Admission, Refused
from carcloud.gateway.gbt32960.car import Car
from carcloud.gateway.gbt32960.connection import Connection
from carcloud.gateway.gbt32960.delivery import Delivery
from carcloud.gateway.gbt32960.places import Places
from carcloud.gateway.gbt32960.proofs import key_of
from carcloud.gateway.gbt32960.settings import Gbt32960Settings
from carcloud.gateway.gbt32960.taking import OLD_EDITION, Taking
from carcloud.vehicle.gbt32960.frames import AnswerCode, Edition, Frame
from carcloud.vehicle.gbt32960.sealing import Keys

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
FLOOD_S = 30.0


class Door:
    """All connections. `gate` knows cars' certificates; `keys` open what is sealed for the door."""

    def __init__(
        self, settings: Gbt32960Settings, admission: Admission, delivery: Delivery, gate: Gate, keys: Keys
    ) -> None:
        self.settings, self.admission, self.delivery = settings, admission, delivery
        self.gate, self.taking = gate, Taking(settings, admission, delivery, keys)
        self.places = Places(settings.sessions)
        self.connections: set[Connection] = set()
        self.cars: dict[str, tuple[Connection, Car]] = {}
        self.ended: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._coming: set[str] = set()

    def connection(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self)

    def comes(self, connection: Connection, address: str) -> bool:
        """Give a newcomer a place; tell whether there is one."""
        full = len(self.connections) >= self.settings.sessions and not self.places.free()
        if full or not self.places.take(connection, address):
            self.ended["too_many_connections"] += 1
            return False
        return True

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the connections, and hold on to it until it is done."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self) -> None:
        """Look at the clock for all connections, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.look(now)

    async def log_in(self, connection: Connection, frame: Frame) -> Car:
        """Let a car in on a connection; raise Refused."""
        session = connection.session
        terminal = await self.admission.terminal(frame.vin, connection.tenant)
        vehicle = terminal.vehicle.id
        if terminal.key is not None and frame.edition is Edition.E2016:
            raise Refused(AnswerCode.ERROR, OLD_EDITION)
        await connection.check_certificate(terminal)
        self._give_way(connection, vehicle)
        self._coming.add(vehicle)
        try:
            lane = await self.delivery.open(vehicle, terminal.vehicle.tenant)
        except CarcloudError as error:
            log.warning("a terminal waits for its queue", extra={"vehicle": vehicle, "reason": str(error)})
            raise Refused(AnswerCode.ERROR, "not_ready") from None
        finally:
            self._coming.discard(vehicle)
        key = key_of(terminal.key)
        car = Car(terminal, frame.vin, frame.edition, lane, time.time(), self.taking.keys, key, session.platform)
        car.counted = session.faults
        if connection.closed:
            self.delivery.leave(lane)
            raise Refused(AnswerCode.ERROR, "gone")
        connection.cars[frame.vin] = car
        self.cars[vehicle] = connection, car
        return car

    def _give_way(self, connection: Connection, vehicle: str) -> None:
        """Refuse a second session of a car, or end its first where that is dead."""
        if vehicle in self._coming:
            raise Refused(AnswerCode.DUPLICATE, "duplicate_vin")
        known = self.cars.get(vehicle)
        if known is None:
            return
        other, car = known
        heard = car.heard if other.session.platform is not None else other.session.last
        if other is connection or time.monotonic() - heard < self.settings.idle_s:
            raise Refused(AnswerCode.DUPLICATE, "duplicate_vin")
        by = connection.session.platform
        self.start(self.admission.note_taken_over(car.terminal.vehicle, {"from": car.platform, "by": by}))
        other.session.faults["taken_over"] += 1
        if other.session.platform is None:
            other.close("")
        else:
            other.drop(car)

    def close_car(self, vehicle: str, cause: str) -> None:
        """End a car's session and what waits of it: it may not speak any more."""
        known = self.cars.get(vehicle)
        if known is not None:
            connection, car = known
            connection.drop(car)
            connection.session.faults[cause] += 1
            if connection.session.platform is None:
                connection.close("")
        self.delivery.close(vehicle)

    def flooding(self, vehicle: str) -> None:
        """End the session of a car that the governor found flooding, and refuse it for a while."""
        self.admission.bar(vehicle, FLOOD_S)
        self.close_car(vehicle, "flood")

    def faults(self, tenant: str | None = None) -> Counter[str]:
        """Return the faults by cause, of all connections there were, or of a tenant's now."""
        found = Counter(self.ended) if tenant is None else Counter()
        for connection in self.connections:
            if tenant is None:
                found.update(connection.session.faults)
        if tenant is not None:
            for _, car in self.cars.values():
                if car.tenant == tenant:
                    found.update(car.faults)
        return found
