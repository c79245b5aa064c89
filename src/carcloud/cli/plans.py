"""`carcloud plan`: what cars collect: written, checked, tried on history, kept, deployed and dropped."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import pyarrow as pa
import typer

from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats import Bus
from carcloud.backends.records.plans import KeptPlan
from carcloud.cli.lake import EXPORT_TIME_S, lake_query
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.orders import ACTOR, PATIENCE_S, KeyFiles, Wait, send_order
from carcloud.cli.terminal import harmless
from carcloud.cli.trials import lines_of
from carcloud.errors import InputError, TryLaterError
from carcloud.gateway.delivery import check_deliverable
from carcloud.lake.tally import Result
from carcloud.lake.told import told
from carcloud.lake.trial import Progress, attempt
from carcloud.safety.governance.collecting import doubts, keeps, purposes
from carcloud.safety.grants.reach import Reach
from carcloud.safety.orders.authorisation import LONGEST_S
from carcloud.safety.tenants import seen_by
from carcloud.settings import Folder, Settings, catalogue_in_force, governance_in_force, own_signals_in_force
from carcloud.twin.reader import TwinReader
from carcloud.twin.search import search
from carcloud.vehicle.catalogue import Catalogue
from carcloud.vehicle.commands import COMMANDS, FLEET, PLAN_DROP, PLAN_TAKE
from carcloud.vehicle.conditions.text import parse as read_condition
from carcloud.vehicle.plans.documents import documents
from carcloud.vehicle.plans.plan import Plan, PlanError, check

LIMIT_ROWS = 5_000_000
SAY_EVERY_S = 1.0

File = Annotated[Path, typer.Argument(help="One plan, or several with a line --- between them; YAML or JSON.")]
Name = Annotated[str, typer.Argument(help="The plan's name.")]
Version = Annotated[int | None, typer.Option("--version", min=1, help="This version; else the newest.")]
Cars = Annotated[list[str], typer.Option("--vehicle", help="This car.")]
Where = Annotated[str | None, typer.Option("--where", help="The cars for which this condition holds now.")]
Sql = Annotated[str | None, typer.Option("--sql", help="The cars that this statement names, in one column `vehicle`.")]
All = Annotated[bool, typer.Option("--all", help="All active cars.")]
Within = Annotated[int, typer.Option("--within", min=1, max=LONGEST_S, help="How long the order holds, in seconds.")]
Since = Annotated[datetime | None, typer.Option(help="Only history from then on, UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Only history before then, UTC.")]

app = typer.Typer()
plan = typer.Typer(no_args_is_help=True, help="What cars collect: tried on history, then deployed.")
app.add_typer(plan, name="plan")


@plan.command("check")
def check_file(file: File, data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """Say whether a file holds plans, and what is wrong where."""
    for one in _read(file, *zone_of(data, config, tenant), datetime.now(UTC)):
        typer.echo(f"{one.name}/{one.version}  {one.digest}")


@plan.command()
def add(file: File, data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """Keep the plans of a file, all or none; plans never change, a change is another version."""
    settings, folder = zone_of(data, config, tenant)
    now = datetime.now(UTC)
    found = _read(file, settings, folder, now)
    kept = [
        KeptPlan(settings.tenant, one.name, one.version, one.digest, one.canonical(), one.until, ACTOR, now)
        for one in found
    ]
    with contextlib.closing(open_records(settings, folder)) as records:
        for one in records.plans.add(*kept):
            typer.echo(_line(one, now))


@plan.command("list")
def list_plans(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List the plans, each name's newest version first."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        for one in records.plans.listed(settings.tenant):
            typer.echo(_line(one, datetime.now(UTC)))


@plan.command()
def show(
    name: Name, version: Version = None, data: Data = DATA, config: Config = None, tenant: OfTenant = None
) -> None:
    """Show a plan as JSON, in its one form."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        found = records.plans.get(settings.tenant, name, version)
    typer.echo(orjson.dumps(orjson.loads(found.document), option=orjson.OPT_INDENT_2).decode())


@plan.command("try")
def try_file(
    file: File,
    vehicle: Cars = [],  # noqa: B006 (typer copies it)
    since: Since = None,
    until: Until = None,
    json: Annotated[bool, typer.Option("--json", help="Print all that was found, as JSON.")] = False,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Try plans on the lake's history: which cars would have fired, when, how many bytes a day, what budgets cut."""
    settings, folder = zone_of(data, config, tenant)
    plans = _read(file, settings, folder, None)
    query = lake_query(settings, folder, replace(settings.query, time_s=EXPORT_TIME_S))

    async def ask(sql: str) -> pa.Table:
        answer = await asyncio.to_thread(query.run, sql, limit=LIMIT_ROWS)
        if answer.truncated:
            raise InputError("There is too much history to answer at once.", "Name some cars, or a shorter time.")
        return answer.table

    paths = {one.path for plan in plans for one in plan.signals}
    paths = paths.union(*(plan.when.paths for plan in plans if plan.when))
    unsure = doubts(governance_in_force(settings, folder), sorted(paths))
    times = [at.replace(tzinfo=at.tzinfo or UTC) if at else None for at in (since, until)]
    found = asyncio.run(_followed(attempt(plans, ask, unsure, vehicle or None, *times)))
    if json:
        typer.echo(orjson.dumps(told(found), option=orjson.OPT_INDENT_2).decode())
        return
    for line in lines_of(found):
        typer.echo(harmless(line))


@plan.command()
def deploy(
    name: Name,
    key: KeyFiles,
    version: Version = None,
    vehicle: Cars = [],  # noqa: B006 (typer copies it)
    where: Where = None,
    sql: Sql = None,
    all_: All = False,
    within: Within = LONGEST_S,
    wait: Wait = False,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Order cars to take a plan, under your own signature; more than ten cars an hour take two people."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        found = records.plans.get(settings.tenant, name, version)
    check_deliverable(found, datetime.now(UTC))
    cars = _targets(settings, folder, vehicle, where, sql, all_)
    send_order(COMMANDS[PLAN_TAKE], {"plan": found.digest}, cars, key, FLEET, within, wait, (settings, folder))


@plan.command()
def drop(
    name: Name,
    key: KeyFiles,
    version: Version = None,
    vehicle: Cars = [],  # noqa: B006 (typer copies it)
    where: Where = None,
    sql: Sql = None,
    all_: All = False,
    within: Within = LONGEST_S,
    wait: Wait = False,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Order cars to drop a plan, under your own signature."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        found = records.plans.get(settings.tenant, name, version)
    cars = _targets(settings, folder, vehicle, where, sql, all_)
    send_order(COMMANDS[PLAN_DROP], {"plan": found.digest}, cars, key, FLEET, within, wait, (settings, folder))


@plan.command()
def withdraw(
    name: Name, version: Version = None, data: Data = DATA, config: Config = None, tenant: OfTenant = None
) -> None:
    """Withdraw a version for ever: it goes to no further car; cars that have it are told by `plan drop`."""
    settings, folder = zone_of(data, config, tenant)
    now = datetime.now(UTC)
    with contextlib.closing(open_records(settings, folder)) as records:
        typer.echo(_line(records.plans.withdraw(settings.tenant, name, version, ACTOR, now), now))


def _catalogue(settings: Settings, folder: Folder) -> Catalogue:
    return seen_by(catalogue_in_force(settings, folder), own_signals_in_force(folder), settings.tenant)


def _read(file: Path, settings: Settings, folder: Folder, now: datetime | None) -> list[Plan]:
    """Return a file's plans; tell all that is wrong with them, and raise InputError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {type(error).__name__}.", "Give a file of plans.") from None
    given, catalogue = documents(text), _catalogue(settings, folder)
    policy = governance_in_force(settings, folder)
    checked = [check(one, catalogue, purposes(policy), keeps(policy), now) for one in given]
    problems = [(at, error) for at, (_, errors) in enumerate(checked) for error in errors]
    if problems:
        for at, found in problems:
            typer.echo(harmless(_problem(f"[{at}]." if len(given) > 1 else "", found)), err=True)
        raise InputError(f"{file.name}: {len(problems)} problems.", "The lines above say where, and what to do.")
    return [one for one, _ in checked if one is not None]


def _problem(before: str, error: PlanError) -> str:
    place = f", character {error.at + 1}" if error.at is not None else ""
    return f"{before}{error.key or 'plan'}{place}: {error}"


def _targets(
    settings: Settings, folder: Folder, vehicles: list[str], where: str | None, sql: str | None, all_: bool
) -> list[str]:
    """Return the cars that are meant, in one of four ways."""
    if [bool(vehicles), where is not None, sql is not None, all_].count(True) != 1:
        raise InputError("Say which cars in one way.", "Give --vehicle, --where, --sql or --all.")
    if vehicles:
        return vehicles
    if where is not None:
        found = set(asyncio.run(_holding(settings, folder, where)))
    elif sql is not None:
        table = lake_query(settings, folder).run(sql, limit=None).table
        if table.column_names != ["vehicle"]:
            raise InputError("The answer has not one column `vehicle`.", "Write SELECT DISTINCT vehicle FROM …")
        found = {str(name) for name in table.column("vehicle").to_pylist()}
    with contextlib.closing(open_records(settings, folder)) as records:
        active = [car.id for car in records.vehicles(1_000_000, None, "active", settings.tenant)]
    cars = [car for car in active if all_ or car in found]
    if not cars:
        raise InputError("That means no active car.", "Look with carcloud vehicles.")
    typer.echo(f"{len(cars)} cars", err=True)
    return cars


async def _holding(settings: Settings, folder: Folder, where: str) -> tuple[str, ...]:
    condition = read_condition(where, _catalogue(settings, folder))
    try:
        async with asyncio.timeout(PATIENCE_S):
            cloud = await Bus.connect(ZoneFile.read(folder).bus("cloud"), "command line")
    except TimeoutError:
        raise TryLaterError("The zone does not answer.", "Start it: carcloud up.") from None
    try:
        found = await search(TwinReader(cloud), condition, Reach(settings.tenant), time.time_ns() // 1000)
    finally:
        await cloud.close()
    return found.vehicles


async def _followed(found: AsyncIterator[Any]) -> Result:
    """Return what a dry run finds; tell on the way how far it has come."""
    at = time.monotonic()
    async for said in found:
        if isinstance(said, Result):
            return said
        if isinstance(said, Progress) and (time.monotonic() - at > SAY_EVERY_S or said.done == said.cars):
            typer.echo(f"{said.done} of {said.cars} cars, {said.firings} firings", err=True)
            at = time.monotonic()
    raise AssertionError("unreachable")


def _line(one: KeptPlan, now: datetime) -> str:
    state = "withdrawn" if one.withdrawn_at else "over" if one.until <= now else "stands"
    return f"{one.name:24}  {one.version:5}  {state:9}  until {one.until:%Y-%m-%d}  {one.digest[:12]}  {one.made_by}"
