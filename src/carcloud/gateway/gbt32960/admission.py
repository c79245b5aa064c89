"""Who comes in by GB/T 32960: asked at every login, of the records.

Rules:
* A VIN has to be a terminal's whose vehicle is active, of a tenant that is not suspended; else it is refused.
* A platform shows its password; checking is dear on purpose, and who guesses is refused for a while, by address. A try
  counts before it is checked, and no car waits for one.
* What the records said is believed for a few seconds, and forgotten at once when a vehicle or a tenant was changed.
* Few are looked up at once and few wait, so that a storm of logins does not take the records from others.
* Whatever cannot be decided is refused. A VIN is never logged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from carcloud.backends.records import Entry, Records, Vehicle
from carcloud.backends.records.terminals import Platform, Terminal
from carcloud.errors import CarcloudError, TryLaterError
from carcloud.gateway.gbt32960.proofs import Proof
from carcloud.safety.people.passwords import fits
from carcloud.vehicle.gbt32960.frames import AnswerCode

BELIEVE_S = 15.0
LIMIT_BELIEVED = 100_000
AT_ONCE, LIMIT_WAITING = 8, 4_000
PASSWORDS_AT_ONCE, LIMIT_PASSWORDS = 2, 16
GUESSES, GUESSES_S = 10, 600.0
LIMIT_GUESSERS = 10_000
TAKEN_OVER = "takeOverTerminal"
UNDECIDED = ("login_storm", "not_ready")

T = TypeVar("T")


class Refused(Exception):  # noqa: N818 (an expected outcome)
    """Why somebody does not come in, and the answer byte that says it."""

    def __init__(self, code: AnswerCode, cause: str) -> None:
        super().__init__(cause)
        self.code, self.cause = code, cause


class Admission:
    """Decides who comes in. `clock`: seconds, of any clock that does not go back."""

    def __init__(self, records: Records, clock: Callable[[], float] = time.monotonic) -> None:
        self._records, self._clock = records, clock
        self._believed: dict[str, tuple[Terminal | None, float]] = {}
        self._notices = 0
        self._lookups = _Turns(AT_ONCE, LIMIT_WAITING)
        self._passwords = _Turns(PASSWORDS_AT_ONCE, LIMIT_PASSWORDS)
        self._barred: dict[str, float] = {}
        self._guesses: dict[str, tuple[int, float]] = {}

    async def terminal(self, vin: str, tenant: str | None = None) -> Terminal:
        """Return the terminal of a VIN, of this tenant if one is named; raise Refused."""
        known = self._believed.get(vin)
        if known is None or known[1] < self._clock():
            known = await self._look_up(vin)
        found = known[0]
        if found is None or (tenant is not None and found.vehicle.tenant != tenant):
            raise Refused(AnswerCode.UNKNOWN, "unknown_vin")
        if found.vehicle.state != "active":
            raise Refused(AnswerCode.ERROR, "not_active")
        if self._barred.get(found.vehicle.id, 0.0) > self._clock():
            raise Refused(AnswerCode.ERROR, "flood")
        return found

    @contextmanager
    def trying(self, address: str) -> Iterator[None]:
        """Count an address's try to come in as a platform, unless it is right or cannot be decided; raise Refused."""
        now = self._clock()
        count, until = self._guesses.pop(address, (0, 0.0))
        count = count if until > now else 0
        self._guesses[address] = min(count + 1, GUESSES), until if count >= GUESSES else now + GUESSES_S
        if len(self._guesses) > LIMIT_GUESSERS:
            del self._guesses[next(iter(self._guesses))]  # who has tried least lately
        if count >= GUESSES:
            raise Refused(AnswerCode.ERROR, "guessing")
        try:
            yield
        except Refused as refused:
            if refused.cause not in UNDECIDED:
                raise
            self._take_back(address)
            raise
        self._take_back(address)

    def _take_back(self, address: str) -> None:
        count, until = self._guesses.get(address, (0, 0.0))
        self._guesses[address] = max(0, count - 1), until

    async def platform(self, name: str, password: str) -> Platform:
        """Return the platform of this name and password; raise Refused. Only within `trying`."""

        def check() -> Platform | None:
            found = self._records.terminals.platform(name)
            right = fits(password, found.password if found else None)
            return found if right and found is not None and self._records.tenants.stands(found.tenant) else None

        found = await self._passwords.take(check)
        if found is None:
            raise Refused(AnswerCode.ERROR, "wrong_password")
        return found

    async def note_taken_over(self, vehicle: Vehicle, facts: Mapping[str, Any]) -> None:
        """Note in the audit log that a car's silent session was ended for a new login."""
        entry = Entry(f"vehicle:{vehicle.id}", TAKEN_OVER, f"vehicle:{vehicle.id}", facts=facts, tenant=vehicle.tenant)
        with suppress(Refused):
            await self._lookups.take(lambda: self._records.audit.add(entry))

    async def may_stay(self, vehicle: str) -> bool:
        """Tell, of the records as they are now, whether a vehicle may go on."""

        def look() -> bool:
            found = self._records.terminals.get(vehicle)
            return (
                found is not None
                and found.vehicle.state == "active"
                and self._records.tenants.stands(found.vehicle.tenant)
            )

        return await asyncio.to_thread(look)

    async def activate(self, vehicle: Vehicle, proof: Proof) -> bool:
        """Keep what a terminal activated with; tell whether it is its own. What cannot be decided is not."""
        entry = Entry(f"vehicle:{vehicle.id}", "activateTerminal", f"vehicle:{vehicle.id}", tenant=vehicle.tenant)

        def keep() -> bool:
            return self._records.terminals.activate(vehicle.id, proof.chip, proof.kept, datetime.now(UTC), entry)

        try:
            return await self._lookups.take(keep)
        except Refused:
            return False
        finally:
            self.forget()

    def bar(self, vehicle: str, seconds: float) -> None:
        """Keep a vehicle out for a while."""
        now = self._clock()
        self._barred = {car: until for car, until in self._barred.items() if until > now}
        self._barred[vehicle] = now + seconds

    def forget(self) -> None:
        """Ask the records again about everybody: somebody was changed."""
        self._notices += 1  # so that an answer on its way from before the notice is not believed
        self._believed.clear()

    async def _look_up(self, vin: str) -> tuple[Terminal | None, float]:
        notices = self._notices

        def look() -> Terminal | None:
            found = self._records.terminals.find(vin)
            return found if found is not None and self._records.tenants.stands(found.vehicle.tenant) else None

        found = await self._lookups.take(look), self._clock() + BELIEVE_S
        if len(self._believed) >= LIMIT_BELIEVED:
            self._believed.clear()
        if notices == self._notices:
            self._believed[vin] = found
        return found


class _Turns:
    """Questions to the records: few at once, and few that wait."""

    def __init__(self, at_once: int, most: int) -> None:
        self._turns, self._most, self._waiting = asyncio.Semaphore(at_once), most, 0

    async def take(self, look: Callable[[], T]) -> T:
        """Return the answer to a question; raise Refused where there is none."""
        if self._waiting >= self._most:
            raise Refused(AnswerCode.ERROR, "login_storm")
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(look)
        except TryLaterError:
            raise Refused(AnswerCode.ERROR, "login_storm") from None
        except CarcloudError:
            raise Refused(AnswerCode.ERROR, "not_ready") from None
        finally:
            self._waiting -= 1
