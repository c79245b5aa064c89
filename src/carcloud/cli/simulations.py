"""`carcloud research simulate` and `sweep`: a planner drives scenarios, and one scenario with many values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.terminal import harmless
from carcloud.errors import InputError
from carcloud.research.adapters.adapter import Options, Refused, reader_for
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.engine import simulate
from carcloud.research.simulation.made import MADE, made
from carcloud.research.simulation.references import planner_of
from carcloud.research.simulation.settings import Settings
from carcloud.research.simulation.sweep import Range, boundary, combined, latin, maker, swept
from carcloud.research.simulation.tables import keep, table_of
from carcloud.research.store import Store

LIMIT_SHOWN = 50

Planner = Annotated[
    str,
    typer.Option(
        help="idm, log, constant-speed, r157-cc-human, r157-reg157, r157-rss, r157-fsm; FILE.py:NAME; exec:PROGRAM."
    ),
]
Traffic = Annotated[str, typer.Option(help="How others move: log, idm or constant.")]
React = Annotated[bool, typer.Option("--react", help="Recorded cars react to an ego that is where it was not.")]
Step = Annotated[float, typer.Option("--step", help="Seconds of a step.")]
Duration = Annotated[float | None, typer.Option(help="Seconds to simulate; else as long as it was recorded.")]
Seed = Annotated[int, typer.Option(help="Decides which way traffic turns, and what a hypercube draws.")]
Limit = Annotated[float, typer.Option(help="Seconds that a planner may think about one step.")]
Threads = Annotated[int, typer.Option(help="How many share the scenarios out; the outcome is the same.")]
Out = Annotated[Path | None, typer.Option(help="Keep the table in a file: .parquet or .json.")]


def simulate_scenarios(
    scenarios: Annotated[list[str], typer.Argument(help=f"Ids, files, or {', '.join(MADE)}.")],
    planner: Planner = "idm",
    traffic: Traffic = "log",
    react: React = False,
    step: Step = 0.1,
    duration: Duration = None,
    seed: Seed = 0,
    limit: Limit = 1.0,
    threads: Threads = 1,
    parameter: Annotated[list[str], typer.Option(help="NAME=VALUE, for what the scenario declares.")] = [],  # noqa: B006 (typer copies it)
    out: Out = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Let a planner drive scenarios, and say what comes of each."""
    settings = Settings(step, duration, traffic, react, seed, limit, threads)
    driver = planner_of(planner)
    given = dict(_pair(one) for one in parameter)
    found: list[Scenario] = []
    ids = [one for one in scenarios if one not in MADE and not Path(one).exists()]
    if ids:
        zone, folder = zone_of(data, config, tenant)
        found += Store(folder.lake, zone.tenant).loaded(ids)
    for one in scenarios:
        if one in MADE:
            found.append(made(one, {name: _number(name, value) for name, value in given.items()}))
        elif one not in ids:
            found += _read(Path(one), given)
    _show(table_of(simulate(found, driver, settings)), out)


def sweep(
    scenario: Annotated[str, typer.Argument(help=f"{', '.join(MADE)}, or an OpenSCENARIO file with parameters.")],
    range_: Annotated[
        list[str], typer.Option("--range", help="NAME=VALUE, or NAME=FROM:TO:COUNT; each is a parameter.")
    ],
    planner: Planner = "idm",
    latin_: Annotated[int, typer.Option("--latin", help="Draw so many points of a Latin hypercube; else all.")] = 0,
    boundary_: Annotated[
        str, typer.Option("--boundary", help="Find where along this parameter the ego begins to collide, or ends.")
    ] = "",
    tolerance: Annotated[float, typer.Option(help="How exactly a boundary is found, in the parameter's unit.")] = 0.1,
    traffic: Traffic = "log",
    react: React = False,
    step: Step = 0.1,
    duration: Duration = None,
    seed: Seed = 0,
    limit: Limit = 1.0,
    threads: Threads = 1,
    out: Out = None,
) -> None:
    """Let a planner drive one scenario with many values of its parameters."""
    settings = Settings(step, duration, traffic, react, seed, limit, threads)
    driver, make = planner_of(planner), maker(scenario)
    ranges = [_range(one) for one in range_]
    if latin_ and boundary_:
        raise InputError("A boundary is looked for on a grid.", "Give --latin or --boundary, not both.")
    if not boundary_:
        _show(swept(make, latin(ranges, latin_, seed) if latin_ else combined(ranges), driver, settings), out)
        return
    along = [one for one in ranges if one.name == boundary_]
    if len(along) != 1:
        raise InputError(f"No --range says where {boundary_} may be.", f"Give --range {boundary_}=FROM:TO:COUNT.")
    others = [one for one in ranges if one.name != boundary_]
    _show(boundary(make, others, along[0], tolerance, driver, settings), out)


def _read(file: Path, given: dict[str, str]) -> list[Scenario]:
    found = []
    for one in reader_for(file).read(file, Options(parameters=given), lambda share: None):
        if isinstance(one, Refused):
            typer.secho(harmless(f"{one.name}: {one.error}"), err=True, fg=typer.colors.RED)
        else:
            found.append(one)
    if not found:
        raise InputError(f"{file.name} holds no scenario that can be read.")
    return found


def _pair(said: str) -> tuple[str, str]:
    name, sign, value = said.partition("=")
    if not name or not sign:
        raise InputError(f"{said[:64]!r} gives no parameter a value.", "Write NAME=VALUE.")
    return name, value


def _number(name: str, said: str) -> float:
    try:
        return float(said)
    except ValueError:
        raise InputError(f"{name} is {said[:32]!r}, which is no number.", "Write a number.") from None


def _range(said: str) -> Range:
    name, value = _pair(said)
    parts = value.split(":")
    if len(parts) not in (1, 3):
        raise InputError(f"{value[:64]!r} is no range.", "Write NAME=VALUE, or NAME=FROM:TO:COUNT.")
    numbers = [_number(name, part) for part in parts]
    return Range(name, numbers[0], numbers[-2 if len(parts) == 3 else 0], int(numbers[2]) if len(parts) == 3 else 1)


def _show(table: pa.Table, out: Path | None) -> None:
    if out is not None:
        keep(table, out)
    names = [name for name in table.column_names if name != "digest"]
    rows = [names, *([_cell(row[name]) for name in names] for row in table.slice(0, LIMIT_SHOWN).to_pylist())]
    widths = [max(len(row[at]) for row in rows) for at in range(len(names))]
    for row in rows:
        typer.echo(harmless("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip())
    if table.num_rows > LIMIT_SHOWN:
        typer.echo(f"{table.num_rows - LIMIT_SHOWN} more rows; --out keeps all of them")
    if "collided" in table.column_names:
        collided = sum(bool(one) for one in table["collided"].to_pylist())
        typer.echo(f"{table.num_rows} points, {collided} with a collision")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
