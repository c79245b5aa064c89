"""The API and the console."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import uvicorn

from carcloud.api.app import create_app
from carcloud.api.history import History
from carcloud.api.ports import Access, Ports
from carcloud.api.viss.messages import LIMIT_MESSAGE_BYTES
from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.desk import order_desk
from carcloud.assembly.flows import border_numbers, border_of
from carcloud.assembly.governance import change_governance, governance_of
from carcloud.assembly.log_keys import known_keys
from carcloud.assembly.recordings import desk_of, forget_recording
from carcloud.assembly.records import records_of
from carcloud.assembly.reports import facts_of
from carcloud.assembly.serving import QuietServer
from carcloud.assembly.shares import Shares
from carcloud.assembly.status import ZoneStatus
from carcloud.assembly.typed import TypedTwin, catalogues_of
from carcloud.assembly.zone import zone_object
from carcloud.backends.http import PromptHttp
from carcloud.backends.records import Records
from carcloud.errors import TryLaterError
from carcloud.lake.workers import LakeWorkers
from carcloud.research.schemas import SCHEMAS
from carcloud.safety.audit.reader import LogReader
from carcloud.safety.identity import Trust
from carcloud.safety.people.reception import Reception
from carcloud.safety.seal import Seals
from carcloud.settings import LABORATORY, catalogue_in_force, load_policies, own_signals_in_force
from carcloud.stream import subjects
from carcloud.stream.quarantine import Quarantine
from carcloud.twin.reader import TwinReader
from carcloud.vehicle.catalogue import Catalogue

LOOK_EVERY_S = 3.0


async def run(context: Context) -> None:
    """Serve the API and the console."""
    cloud, records = await open_bus(context, "cloud"), records_of(context)
    settings, governance = context.settings, governance_of(context, records)
    catalogue = catalogue_in_force(settings, context.folder)
    shares = Shares(records)
    await cloud.listen(subjects.TENANT, shares.changed)
    catalogues = catalogues_of(catalogue, own_signals_in_force(context.folder))
    status, history = ZoneStatus(settings, records, personal=governance.name != LABORATORY), History()
    await status.listen(cloud)
    quarantine = Quarantine(records, Seals(context.folder.keys, settings.tenant))
    table = context.folder.lake / "samples"
    sides = _signal_rows(catalogues), _vehicle_rows(records)
    lake = LakeWorkers(table, *sides, settings.query, settings.tenant, shares, SCHEMAS)
    ports = Ports(
        zone=settings.zone,
        status=status,
        history=history,
        twin=TypedTwin(TwinReader(cloud), catalogue),
        records=records,
        lake=lake,
        catalogue=catalogues,
        governance=lambda: governance,
        open_payload=quarantine.payload,
        notify=cloud.publish,
        log=LogReader(context.folder.audit, lambda: known_keys(context.folder, settings), settings.tenant),
        reception=Reception(records, load_policies(settings), context.folder.keys, settings.oidc, settings.tenant),
        orders=order_desk(settings, context.folder, cloud),
        border=border_of(context, records),
        keys=context.folder.keys,
        shares=shares,
        trust=Trust(context.folder.keys),
        ask=cloud.request,
        facts=partial(facts_of, settings, context.folder, records),
        zone_object=partial(zone_object, settings, context.folder, records),
        take_governance=lambda wanted, actor: change_governance(
            context.folder, records, catalogue, wanted, actor, settings.tenant
        ),
        recordings=desk_of(settings, context.folder, records),
        lake_folder=context.folder.lake,
        forget_recording=partial(forget_recording, settings, context.folder, records),
        map_file=Path(settings.map_file) if settings.map_file else None,
        map_datum=settings.map_datum,
    )
    await cloud.listen(subjects.GRANT, ports.grants.heard)
    host = context.zone.api_host
    access = Access(context.zone.token, settings.tenant, Access("").hosts | {host, *settings.listen.names})
    config = uvicorn.Config(
        create_app(ports, access),
        host=host,
        port=context.zone.api,
        http=PromptHttp,
        ws="websockets-sansio",
        ws_max_size=LIMIT_MESSAGE_BYTES,
        proxy_headers=False,  # whoever connects is who it is: anybody can write X-Forwarded-For
        log_config=None,
        access_log=False,
        lifespan="off",
    )

    numbers: dict[str, Any] = {}

    async def watch_border() -> None:
        while ports.border:
            with contextlib.suppress(TryLaterError):
                numbers.update(await asyncio.to_thread(border_numbers, ports.border))
            await asyncio.sleep(LOOK_EVERY_S)

    async def remember() -> None:
        await lake.start()
        while True:
            if (latest := status.status()) is not None:
                history.record(latest)
            await asyncio.sleep(1.0)

    works = [QuietServer(config).serve(), remember(), watch_border()]
    await together(*works, tell(cloud, context.name, lambda: dict(numbers)))


def _signal_rows(catalogues: Callable[..., Catalogue]) -> Callable[[str], list[dict[str, Any]]]:
    fields = ("path", "type", "unit", "min", "max", "kind", "description")

    @lru_cache(64)
    def rows(tenant: str) -> list[dict[str, Any]]:
        return [{name: getattr(signal, name) for name in fields} for signal in catalogues(tenant).values()]

    return rows


def _vehicle_rows(records: Records) -> Callable[[str], list[dict[str, Any]]]:
    def rows(tenant: str) -> list[dict[str, Any]]:
        found = records.vehicles(limit=100_000, tenant=tenant)
        return [{"vehicle": car.id, "state": car.state, "enrolled_at": car.enrolled_at} for car in found]

    return rows
