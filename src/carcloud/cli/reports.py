"""`carcloud request`, `carcloud report`: what people asked for, and what an officer gives to others."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.access import Sources, copy_of
from carcloud.assembly.records import open_records
from carcloud.assembly.reports import facts_of
from carcloud.backends.records.requests import OUTCOMES, REQUEST_KINDS, Request
from carcloud.cli.lake import lake_query
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.errors import InputError
from carcloud.safety.reports.phrases import LANGUAGES, Language
from carcloud.safety.reports.reports import REPORT_KINDS, ReportKind
from carcloud.safety.reports.reports import report as write
from carcloud.safety.seal import Seals
from carcloud.safety.tenants import known as known_tenant
from carcloud.settings import governance_in_force
from carcloud.stream.quarantine import Quarantine

YEARS = range(2020, 2200)

app = typer.Typer()
request = typer.Typer(help="What people asked for about their data, and until when.", no_args_is_help=True)
app.add_typer(request, name="request")


@request.command("add")
def request_add(
    kind: Annotated[str, typer.Argument(help=", ".join(REQUEST_KINDS))],
    vehicle: Annotated[str | None, typer.Option(help="The car's id, where it concerns one.")] = None,
    reference: Annotated[str, typer.Option(help="Your own file, where the person is known.")] = "",
    received: Annotated[str | None, typer.Option(help="The day it came, YYYY-MM-DD; today if not given.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Take down what somebody asked for; the governance in force says within how many days it is answered."""
    settings, folder = zone_of(data, config, tenant)
    if kind not in REQUEST_KINDS:
        raise InputError(f"{kind[:64]!r} is no kind of request.", f"Give one of {', '.join(REQUEST_KINDS)}.")
    now = datetime.now(UTC)
    came = _day(received) if received else now.date()
    due = min(came, now.date()) + timedelta(days=governance_in_force(settings, folder).days_to_answer(kind))
    with contextlib.closing(open_records(settings, folder)) as records:
        made = Request(settings.tenant, kind, vehicle, reference, came, due, now)
        records.requests.add(made, "machine")
    typer.echo(f"{made.id}  {made.kind}  due {made.due}")


@request.command("list")
def request_list(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List the requests, the first due first."""
    settings, folder = zone_of(data, config, tenant)
    today = datetime.now(UTC).date()
    with contextlib.closing(open_records(settings, folder)) as records:
        for one in records.requests.all(settings.tenant):
            state = (one.outcome or "open") + (", late" if one.late(today) else "")
            about = one.about or "–"
            typer.echo(f"{one.id}  {one.kind:13}  due {one.due}  {state:14}  {about:16}  {one.reference}")


@request.command("close")
def request_close(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `carcloud request list` shows it.")],
    outcome: Annotated[str, typer.Argument(help="done or refused.")],
    why: Annotated[str, typer.Option(help="Why it was refused, or what was done; kept beside the audit log.")] = "",
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Say what became of a request."""
    settings, folder = zone_of(data, config, tenant)
    known = next((one for one in OUTCOMES if one == outcome), None)
    if known is None:
        raise InputError(f"{outcome[:64]!r} is no outcome.", "Give done or refused.")
    with contextlib.closing(open_records(settings, folder)) as records:
        closed = records.requests.close(settings.tenant, id_, known, "machine", datetime.now(UTC), why)
    typer.echo(f"{closed.id}  {closed.outcome}")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text[:32]!r} is no day.", "Write it as YYYY-MM-DD.") from None


@app.command()
def report(
    kind: Annotated[
        str,
        typer.Argument(help="processing (GDPR article 30), impact (DPIA draft), or annual (China, due 15 December)."),
    ],
    language: Annotated[str, typer.Option(help="en or zh; what stands in the governance stays as it is.")] = "en",
    year: Annotated[int | None, typer.Option(help="Which calendar year's numbers; this one if not given.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Write JSON, not Markdown.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file to write; else the terminal.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Write a record of processing, the draft of an impact assessment, or the yearly report."""
    settings, folder = zone_of(data, config)
    now = datetime.now(UTC)
    wanted, spoken = _kind(kind), _language(language)
    if year is not None and year not in YEARS:
        raise InputError(f"{year} is no year of cars.", f"Give one from {YEARS.start} to {YEARS.stop - 1}.")
    with contextlib.closing(open_records(settings, folder)) as records:
        whose = known_tenant(records, settings.tenant, tenant or settings.tenant)
        facts = facts_of(settings, folder, records, whose, year or now.year, now)
    document = write(wanted, facts, spoken)
    text = json.dumps(document.json(), ensure_ascii=False, indent=1) + "\n" if json_ else document.markdown()
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}.", "Give another file with --out.") from None
    typer.echo(f"{out}")


def _kind(text: str) -> ReportKind:
    for kind in REPORT_KINDS:
        if text == kind:
            return kind
    raise InputError(f"{text[:64]!r} is no report.", f"Give one of {', '.join(REPORT_KINDS)}.")


def _language(text: str) -> Language:
    for language in LANGUAGES:
        if text == language:
            return language
    raise InputError(f"{text[:16]!r} is no language of reports.", f"Give one of {', '.join(LANGUAGES)}.")


@app.command()
def access(
    vehicle: Annotated[str, typer.Argument(help="The car's id.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder for the copy.")],
    language: Annotated[str, typer.Option(help="en or zh, for what is explained.")] = "en",
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Write a copy of all that the zone holds of a car, for the person it is about."""
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        own = replace(settings, tenant=records.vehicle(vehicle).tenant)
        lake = lake_query(own, folder) if (folder.lake / "samples").exists() else None
        opener = Quarantine(records, Seals(folder.keys, settings.tenant)).payload
        sources = Sources(settings, folder, records, lake, opener)
        written = copy_of(sources, vehicle, out, _language(language), datetime.now(UTC))
    for name, count in written.items():
        typer.echo(f"{count:10}  {name}")
