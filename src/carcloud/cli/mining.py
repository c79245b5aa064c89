"""`carcloud research find`, `queries`, `tags`, `coverage`, `similar`: the scenes that matter, in what was recorded."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer

from carcloud.assembly.records import open_records
from carcloud.backends.records.queries import SavedQuery
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.orders import ACTOR
from carcloud.cli.terminal import harmless
from carcloud.errors import InputError
from carcloud.research.mining.catalogue import CATALOGUE
from carcloud.research.mining.coverage import Coverage, coverage
from carcloud.research.mining.mining import keep, mine
from carcloud.research.mining.queries import Query, asked, checked, saved_queries, shipped
from carcloud.research.mining.similar import similar
from carcloud.research.mining.tags import tags
from carcloud.research.store import Store

LIMIT_SHOWN = 100

What = Annotated[str, typer.Argument(help="A query's name, or a condition over features.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON, a line each.")]


def find(
    query: What,
    limit: Annotated[int, typer.Option(help="Hits at most.")] = LIMIT_SHOWN,
    recording: Annotated[list[str], typer.Option(help="Only in this recording; may be repeated.")] = [],  # noqa: B006 (typer copies it)
    keep_them: Annotated[bool, typer.Option("--keep", help="Keep all hits in the table events.")] = False,
    as_json: Json = False,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Find where a query holds: scenario, road user, seconds from and until, and whom it is about besides."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        wanted = asked(query, saved_queries(records, settings.tenant))
    store, began = Store(folder.lake, settings.tenant), time.monotonic()
    if keep_them:
        if not wanted.name or recording:
            raise InputError("Hits are kept under a query's name, of all recordings.", "Save the query first.")
        hits = mine(store, wanted)
        keep(store, wanted, hits)
    else:
        hits = mine(store, wanted, limit, recording or None)
    names = {row.id: row.name for row in store.scenarios()}
    for hit in hits[:limit]:
        if as_json:
            typer.echo(orjson.dumps(vars(hit) | {"name": names[hit.scenario]}).decode())
        else:
            about = f"  about {hit.other}" if hit.other is not None else ""
            span = f"{hit.begin_us / 1e6:9.2f} s – {hit.end_us / 1e6:.2f} s"
            typer.echo(harmless(f"{hit.scenario}  {hit.track:6} {span}{about}  {names[hit.scenario]}"))
    more = "" if keep_them or len(hits) < limit else " at least"
    typer.echo(f"{len(hits)} hits{more} in {time.monotonic() - began:.2f} s", err=True)


def list_queries(
    save: Annotated[str, typer.Option(help="Save a query under this name.")] = "",
    condition: Annotated[str, typer.Option(help="With --save: the condition.")] = "",
    about: Annotated[str, typer.Option(help="With --save: one line, what it finds.")] = "",
    tag: Annotated[list[str], typer.Option(help="With --save: a tag of its scenarios; may be repeated.")] = [],  # noqa: B006
    drop: Annotated[str, typer.Option(help="Drop the saved query of this name.")] = "",
    features: Annotated[bool, typer.Option("--features", help="List the features that conditions ask about.")] = False,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """List the queries that are shipped or saved; save or drop one; or list the features."""
    if features:
        for path, signal in CATALOGUE.items():
            typer.echo(f"{path:32} {signal.unit or '-':6} {signal.description}")
        return
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        if save:
            query = checked(Query(save, condition, about, tuple(tag)))
            records.queries.save(_row(query, settings.tenant))
        if drop:
            records.queries.drop(settings.tenant, drop, ACTOR, datetime.now(UTC))
        saved = saved_queries(records, settings.tenant)
    for name, query in sorted({**shipped(), **saved}.items()):
        mark = "saved  " if name in saved else "shipped"
        typer.echo(harmless(f"{mark} {name:22} {query.text}"))
        if query.about:
            typer.echo(harmless(f"{'':31}{query.about}"))


def list_tags(
    scenario: Annotated[list[str], typer.Option(help="Only of this scenario; may be repeated.")] = [],  # noqa: B006
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """List the tags of scenarios: scenery, who moves how, how near to a collision, and what their sources say."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        known = {**shipped(), **saved_queries(records, settings.tenant)}
    store = Store(folder.lake, settings.tenant)
    for name, found in tags(store, set(scenario) or None, known).items():
        typer.echo(harmless(f"{name}  {' '.join(found)}"))


def tell_coverage(
    rows: Annotated[str, typer.Option(help="Counted by: event, speed, road, kind or gap.")] = "event",
    columns: Annotated[str, typer.Option(help="And by.")] = "speed",
    pages: Annotated[str, typer.Option(help="And by, a table each.")] = "",
    as_json: Json = False,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Tell how much is there of what may happen, and name what is missing."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        known = {**shipped(), **saved_queries(records, settings.tenant)}
    found = coverage(Store(folder.lake, settings.tenant), rows, columns, pages or None, known)
    if as_json:
        cells = [{**dict(zip(found.by, cell, strict=True)), "count": count} for cell, count in found.cells.items()]
        missing = [dict(zip(found.by, cell, strict=True)) for cell in found.missing]
        typer.echo(orjson.dumps({"by": found.by, "cells": cells, "missing": missing}).decode())
        return
    for page in found.values[2] if pages else ("",):
        _show(found, page)
    typer.echo(f"{len(found.cells)} cells are there, {len(found.missing)} are missing; --json names them.")


def list_similar(
    scenario: Annotated[str, typer.Argument(help="A scenario's id.")],
    track: Annotated[int, typer.Argument(help="A road user's track number.")],
    at: Annotated[float, typer.Argument(help="Seconds since the scenario's beginning.")],
    count: Annotated[int, typer.Option("-k", "--count", help="How many.")] = 10,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """List the scenes most like one: how far, scenario, road user, seconds."""
    settings, folder = zone_of(data, config, tenant)
    for one in similar(Store(folder.lake, settings.tenant), scenario, track, round(at * 1e6), count):
        typer.echo(f"{one.distance:8.2f}  {one.scenario}  {one.track:6} {one.at_us / 1e6:9.2f} s")


def _row(query: Query, tenant: str) -> SavedQuery:
    said = (query.name, query.text, query.about, query.tags, query.other, query.digest)
    return SavedQuery(tenant, *said, ACTOR, datetime.now(UTC))


def _show(found: Coverage, page: str) -> None:
    """Print one table: rows down, columns across."""
    if page:
        typer.echo(f"{found.by[2]}: {page}")
    wide = max(map(len, found.values[0]))
    typer.echo(" " * wide + "".join(f"  {name:>15}" for name in found.values[1]))
    for row in found.values[0]:
        cells = [(row, column, page) if page else (row, column) for column in found.values[1]]
        typer.echo(f"{row:{wide}}" + "".join(f"  {found.cells.get(cell, '–'):>15}" for cell in cells))
