"""What the API reads from, as the assembly wires it. Times are integer microseconds since 1970 UTC."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

import pyarrow as pa
from fastapi import Depends, Request

from carcloud.api.history import History
from carcloud.backends.records import QuarantineEntry, Records
from carcloud.backends.records.recordings import Recording
from carcloud.lake.asker import Asker
from carcloud.lake.border import Border
from carcloud.lake.workers import Reply
from carcloud.research.recordings import Desk
from carcloud.safety.audit.reader import LogReader
from carcloud.safety.governance.policy import Policy
from carcloud.safety.grants.grant import Ground, ground_of
from carcloud.safety.identity import Trust
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.safety.orders.doors import Doors
from carcloud.safety.people.reception import Reception
from carcloud.safety.reports.facts import Facts
from carcloud.twin.values import Change, Last, Presence
from carcloud.vehicle.catalogue import Catalogue
from carcloud.vehicle.commands import CarState

__all__ = [
    "PAGES",
    "Access",
    "Change",
    "LakeReader",
    "Last",
    "Ports",
    "Presence",
    "StatusSource",
    "TwinPorts",
    "TwinReader",
    "Wired",
]

PAGES = Path(__file__).parent / "pages"


class TwinReader(Protocol):
    """The twin's answers. Raises TryLaterError while the twin is away."""

    async def get(self, vehicle: str, paths: Sequence[str] | None) -> Mapping[str, Last]:
        """Return a car's values for these exact paths (None: all); {} for a car that never reported."""

    async def fleet(self, tenant: str, paths: Sequence[str], limit: int) -> Mapping[str, Sequence[Last | None]]:
        """Return, for at most `limit` cars of a tenant with one of the paths, the values in the order of the paths."""

    async def presence(self, vehicles: Sequence[str]) -> Mapping[str, Presence]:
        """Return what is known of these cars; cars that never reported are left out."""

    def columns(self, tenant: str, paths: Sequence[str]) -> AsyncGenerator[pa.Table, None]:
        """Yield what a tenant's cars that ever reported say of these paths, some cars at once, as columns."""

    def watch(
        self, tenant: str, vehicles: Collection[str] | None, paths: Collection[str] | None
    ) -> AsyncGenerator[Change, None]:
        """Yield changes as they happen, of these cars (None: all of the tenant) and paths (None: all), until closed."""


class LakeReader(Protocol):
    """The lake's SQL. Raises InputError, NotAllowedError or TryLaterError."""

    async def ask(self, asker: Asker, sql: str, parameters: Mapping[str, Any], limit: int, form: str) -> Reply:
        """Answer one read-only statement over what is in reach in a form, "json" or "arrow"."""


class Shares(Protocol):
    """How much of what all tenants share one may take at once; None: it has no quota."""

    def queries(self, tenant: str) -> int | None:
        """Return how many queries a tenant may ask at once."""

    def streams(self, tenant: str) -> int | None:
        """Return how many live streams a tenant may have open."""

    def several(self) -> bool:
        """Tell whether the zone has more than one tenant."""


class StatusSource(Protocol):
    """The newest state of the zone, as its processes tell it every second."""

    def status(self) -> Mapping[str, Any] | None:
        """Return what `GET /v1/status` shows, or None until the zone's processes have reported."""

    def processes(self) -> Mapping[str, Mapping[str, Any]]:
        """Return each process's newest counters by its name."""


@dataclass(frozen=True)
class Access:
    """Who may come in.

    token: the zone's API token, which is for its machine. tenant: whose cars it may see.
    hosts: host names the API answers to, without port; any other is a rebinding attack.
    """

    token: str
    tenant: str = "default"
    hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True)
class OrderDesk:
    """Where orders go: who signs them, what the cloud knows of a car's state now, and how orders move on.

    watch: yields each order that moves on, as it moves, until closed; None after a while without any.
    """

    signer: OrderSignerClient
    look: Callable[[str], Awaitable[CarState]]
    watch: Callable[[], AsyncGenerator[Mapping[str, Any] | None, None]]


class Notices:
    """Wakes who waits for a change of grants; hears of each."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()

    async def heard(self, _: str, __: bytes) -> None:
        """Take in that some grant was given or has ended."""
        wake, self.wake = self.wake, asyncio.Event()
        wake.set()

    async def wait(self, wake: asyncio.Event, limit_s: float) -> None:
        """Return once a change came since `wake` was taken, or after this long without any."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await wake.wait()


@dataclass(frozen=True, kw_only=True)
class TwinPorts:
    """What every door to the twin needs, the API's own and those for others' clients.

    catalogue: returns the signals in force; given a tenant, those that it sees. governance: returns what is in force.
    notify: tells the zone's processes, by subject.
    keys: folder of the zone's keys. shares: of what tenants share.
    reception: knows people and programs.
    orders: takes orders for cars; None where nobody signs them. grants: wakes live streams when grants change.
    """

    zone: str
    twin: TwinReader
    records: Records
    catalogue: Callable[..., Catalogue]
    governance: Callable[[], Policy]
    notify: Callable[[str, bytes], Awaitable[None]]
    reception: Reception
    keys: Path
    shares: Shares
    orders: OrderDesk | None = None
    grants: Notices = field(default_factory=Notices)

    @property
    def ground(self) -> Ground:
        """Return what grants stand on now."""
        return ground_of(self.zone, self.governance(), self.catalogue())

    @property
    def doors(self) -> Doors:
        """Return the keys with which doors sign what is set."""
        return Doors(self.keys)


@dataclass(frozen=True, kw_only=True)
class Ports(TwinPorts):
    """All that `create_app` needs.

    open_payload: returns an entry's unsealed payload.
    border: lets rows out by flows; None: nothing leaves.
    trust: the zone's authorities, as all may see them.
    ask: asks the zone, by subject, within seconds; None: nobody answers.
    take_governance: takes a governance into force, in the name of an actor.
    recordings: takes recordings in; None: nobody does.
    lake_folder: where scenarios and the results of runs lie; None: there are none.
    forget_recording: takes one out, in the name of an actor; returns how many rows it had.
    facts: returns what reports of a tenant, calendar year and moment are made from.
    zone_object: returns what the zone is, as a tenant may see it.
    log: the audit log, to be read.
    map_file: the zone's base map as GeoJSON, map_datum: the datum of its places. pages: folder of the built console.
    """

    status: StatusSource
    history: History
    lake: LakeReader
    open_payload: Callable[[QuarantineEntry], bytes]
    log: LogReader
    border: Border | None = None
    trust: Trust | None = None
    ask: Callable[..., Awaitable[bytes]] | None = None
    facts: Callable[[str, int, datetime], Facts] | None = None
    zone_object: Callable[[str], Mapping[str, Any]] | None = None
    take_governance: Callable[[Policy, str], None] | None = None
    recordings: Desk | None = None
    lake_folder: Path | None = None
    forget_recording: Callable[[Recording, str], int] | None = None
    map_file: Path | None = None
    map_datum: str = "wgs84"
    pages: Path = PAGES


def _wired(request: Request) -> Ports:
    ports: Ports = request.app.state.ports
    return ports


Wired = Annotated[Ports, Depends(_wired)]
"""The ports of the application that answers the request."""
