"""`carcloud zone`: what the zone is."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import orjson
import typer

from carcloud.assembly.records import open_records
from carcloud.assembly.zone import zone_object
from carcloud.cli.options import DATA, Config, Data, zone_of

app = typer.Typer()
zone = typer.Typer(no_args_is_help=True, help="What the zone is: region, tenants, rules, keys, what leaves and comes.")
app.add_typer(zone, name="zone")


@zone.callback()
def _zone() -> None:
    pass


@zone.command()
def show(
    data: Data = DATA,
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="As GET /v1/zone answers.")] = False,
) -> None:
    """Show the zone: where it is, who is in it, under which rules, on what it stands, what leaves and what comes in."""
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        found = zone_object(settings, folder, records)
    if json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    for title, lines in _said(found):
        for number, line in enumerate(lines or ["none"]):
            typer.echo(f"{'' if number else title:12} {line}")


def _said(zone: dict[str, Any]) -> list[tuple[str, list[str]]]:
    rules, backends = zone["governance"], zone["backends"]
    return [
        ("zone", [f"{zone['name']}, carcloud {zone['version']}"]),
        ("region", [zone["region"] or "not said: set `region` in the configuration"]),
        ("tenants", [f"{one['name']} ({one['state']})" for one in zone["tenants"]]),
        ("rules", [f"{rules['name']} since {rules['since'] or 'its first start'}", rules["hash"]]),
        ("", [f"{len(rules['versions'])} versions kept" + ("" if rules["intact"] else "; the file was CHANGED")]),
        ("catalogue", [f"{zone['catalogue']['signals']} signals", zone["catalogue"]["hash"]]),
        ("backends", [f"records on {backends['records']}, lake in {backends['lake']}, {backends['broker']}"]),
        ("keys", [f"{one['signs']:12} {one['id']}" for one in zone["keys"]]),
        ("log", zone["log"]),
        ("witnesses", zone["witnesses"]),
        ("authorities", [f"{one['name']:12} {one['fingerprint']} until {one['ends']}" for one in zone["authorities"]]),
        ("leaves", [_leaves(one) for one in zone["leaves"]]),
        ("comes in", [_comes(one) for one in zone["comes"]]),
        ("counted", [_counted(one, zone["year"]) for one in zone["counted"]]),
    ]


def _leaves(flow: dict[str, Any]) -> str:
    who = "cars whose person agreed" if flow["needs_consent"] else "all cars"
    under = "other names" if flow["pseudonym"] else "their own ids"
    times = f", times to {flow['time_s']} s" if flow["time_s"] else ""
    ended = ", ended" if flow["ended"] else ""
    changed = f"{flow['signals']} signals, {flow['rounded']} rounded, under {under}{times}{ended}"
    return f"{flow['flow']}: to {flow['to']} for {flow['purpose']}, of {who}: {changed}"


def _comes(replica: dict[str, Any]) -> str:
    came = f"{replica['rows']} rows of {replica['cars']} cars"
    last = f", last at {replica['at']}" if replica["at"] else ""
    return f"{replica['replica']}: {replica['flow']} from {replica['from']} for {replica['tenant']}, {came}{last}"


def _counted(meter: dict[str, Any], year: int) -> str:
    of = "" if meter["stop"] is None else f", stops at {meter['stop']} of {meter['limit']}"
    return f"{meter['flow'] or 'all flows'}: {meter['class']} data of {meter['people']} people left in {year}{of}"
