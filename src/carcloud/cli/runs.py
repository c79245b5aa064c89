"""`carcloud research run`, `runs`, `metrics`, `gate`, `candidates`: planners driven, measured and judged."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import pyarrow.csv as pa_csv
import typer

from carcloud.assembly.candidates import signer_of
from carcloud.assembly.records import open_records
from carcloud.backends.compute import Compute, Processes
from carcloud.backends.compute_ray import Cluster
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.orders import ACTOR
from carcloud.cli.terminal import harmless
from carcloud.errors import InputError
from carcloud.research import metrics
from carcloud.research.gate.limits import limits_of
from carcloud.research.gate.page import page_of
from carcloud.research.gate.verdict import Verdict
from carcloud.research.mining.queries import saved_queries
from carcloud.research.runs.choosing import chosen
from carcloud.research.runs.desk import Desk
from carcloud.research.runs.run import Progress, Run
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store

STOPPED = 3
"""The exit code of a gate that stops a planner."""

RunId = Annotated[str, typer.Argument(help="A run's id, or the beginning of it.")]


def run_planner(
    planner: Annotated[str, typer.Argument(help="One of ours, FILE.py:NAME, or exec:PROGRAM.")],
    scenario: Annotated[list[str], typer.Option(help="This scenario; may be repeated.")] = [],  # noqa: B006 (typer copies it)
    recording: Annotated[list[str], typer.Option(help="All scenarios of this recording; may be repeated.")] = [],  # noqa: B006
    query: Annotated[str, typer.Option(help="The scenarios where this query, or condition, finds something.")] = "",
    step: Annotated[float, typer.Option(help="Seconds between two steps.")] = 0.1,
    duration: Annotated[float | None, typer.Option(help="Seconds of each; else as long as it was recorded.")] = None,
    traffic: Annotated[str, typer.Option(help="How others move: log, idm or constant.")] = "log",
    react: Annotated[bool, typer.Option(help="Recorded cars react to the ego where it is in their way.")] = False,
    seed: Annotated[int, typer.Option(help="For traffic that chooses, and planners that ask.")] = 0,
    think: Annotated[float, typer.Option(help="How long a planner may think about one step, in seconds.")] = 1.0,
    workers: Annotated[int | None, typer.Option(help="How many at once; else one a processor.")] = None,
    ray: Annotated[str | None, typer.Option(help="On this Ray cluster; `local` starts one here.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Drive a planner through scenarios; all of the lake's where none are named. What was cut off goes on."""
    settings, folder = zone_of(data, config, tenant)
    told = Settings(step_s=step, duration_s=duration, traffic=traffic, react=react, seed=seed, limit_s=think)
    with contextlib.closing(open_records(settings, folder)) as records, _compute(workers, ray) as compute:
        store = Store(folder.lake, settings.tenant)
        ids, text = chosen(store, scenario, recording, query, saved_queries(records, settings.tenant))
        desk = Desk(records, folder.lake.absolute(), settings.tenant, ACTOR)
        with _bar() as bar:
            found = desk.run(ids, planner, told, compute, text, bar)
    _tell(found)


def list_runs(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List the runs, the newest first."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        for one in records.runs.listed(settings.tenant):
            counts = ", ".join(f"{count} {name}" for name, count in one.totals.items() if count and name != "scenarios")
            state = f"{one.scenarios:7} scenarios  {counts or 'nothing amiss'}" if one.ended_at else "not done"
            typer.echo(harmless(f"{one.id}  {one.made_at:%Y-%m-%d %H:%M}  {one.planner:24}  {state}"))


def show_run(
    run: RunId,
    out: Annotated[Path | None, typer.Option(help="Write all its results to this file, as CSV.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Show a run: what it was, and the scenarios in which something went wrong."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        one = records.runs.get(settings.tenant, run)
        table = Desk(records, folder.lake, settings.tenant, ACTOR).results(one.id)
    said = {name: value for name, value in vars(one).items() if name not in ("tenant", "made_by")}
    for line in orjson.dumps(said, option=orjson.OPT_INDENT_2).decode().splitlines():
        typer.echo(harmless(line))
    for row in table.to_pylist():
        if row["fault"] or row["collided"] or row["off_road"]:
            what = row["fault"] or (f"collided at {row['collided_s']:.1f} s" if row["collided"] else "left the road")
            typer.echo(harmless(f"{row['scenario']}  {what}"))
    if out is not None:
        pa_csv.write_csv(table, out)


def show_metrics(
    scenario: Annotated[str, typer.Argument(help="The scenario's id.")],
    ego: Annotated[int | None, typer.Option(help="The track to measure; else the scenario's ego.")] = None,
    series: Annotated[bool, typer.Option("--series", help="A line for each step instead of the summary.")] = False,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Measure a recorded scenario: how safe, comfortable and quick one of its road users was."""
    settings, folder = zone_of(data, config, tenant)
    found = Store(folder.lake, settings.tenant).load(scenario)
    who = found.ego if ego is None else ego
    if who is None or who not in {user.track for user in found.motion.users}:
        raise InputError("Whose metrics?", f"Give --ego: 0 to {len(found.motion.users) - 1}.")
    told = metrics.of(found.motion, who, found.map, found.goal)
    if not series:
        for name, value in told.summary.items():
            typer.echo(f"{name:34} {_plain(value)}")
        return
    typer.echo(",".join(["time_s", *told.series]))
    for at, time_us in enumerate(found.motion.time_us):
        typer.echo(",".join([f"{time_us / 1e6:.3f}", *(f"{values[at]:.4f}" for values in told.series.values())]))


def gate(
    baseline: Annotated[str, typer.Argument(help="The run of the planner that drives now.")],
    candidate: Annotated[str, typer.Argument(help="The run of the planner that shall take its place.")],
    limits: Annotated[Path | None, typer.Option(help="A file of limits; else ours.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the verdict to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page of it to this file.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Judge a run against another. Exit code 0: it passed, and a signed candidate is left; 3: it is stopped."""
    settings, folder = zone_of(data, config, tenant)
    told = limits_of(limits)
    with contextlib.closing(open_records(settings, folder)) as records, signer_of(settings, folder) as sign:
        desk = Desk(records, folder.lake.absolute(), settings.tenant, ACTOR)
        verdict, left = desk.judge(baseline, candidate, told, settings.zone, sign)
    for path, text in ((json, verdict.document), (html, page_of(verdict).encode())):
        if path is not None:
            path.write_bytes(text)
    _say(verdict)
    if left is None:
        raise typer.Exit(STOPPED)
    typer.echo(f"candidate {left.digest}")


def list_candidates(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List the planners that passed the gate, the newest first."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        for one in records.runs.candidates(settings.tenant):
            state = "withdrawn" if one.withdrawn_at else "stands"
            line = f"{one.digest}  {state:9}  {one.made_at:%Y-%m-%d %H:%M}  {one.planner}  {one.planner_hash[:12]}"
            typer.echo(harmless(line))


def withdraw_candidate(
    digest: Annotated[str, typer.Argument(help="The candidate's digest, or the beginning of it.")],
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Withdraw a candidate for ever."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        found = records.runs.withdraw(settings.tenant, digest, ACTOR, datetime.now(UTC))
    typer.echo(f"{found.digest} is withdrawn")


@contextlib.contextmanager
def _compute(workers: int | None, ray: str | None) -> Iterator[Compute]:
    made: Compute = Processes(workers) if ray is None else Cluster(None if ray == "local" else ray, workers)
    with contextlib.closing(made):
        yield made


@contextlib.contextmanager
def _bar() -> Iterator[Progress]:
    """Show how far a run is, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda done, all_: None
        return
    with typer.progressbar(length=1000, label="scenarios", file=sys.stderr) as bar:
        yield lambda done, all_: bar.update(int(1000 * done / max(1, all_)) - bar.pos)


def _tell(found: Run) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in found.totals.items())
    typer.echo(f"{found.id}  {counts}  {found.digest}")


def _say(verdict: Verdict) -> None:
    for check in verdict.said["checks"]:
        word, colour = ("passed", typer.colors.GREEN) if check["passed"] else ("failed", typer.colors.RED)
        typer.secho(word, fg=colour, nl=False)
        typer.echo(f"  {check['name']:36} {_plain(check['found']):>12} of {_plain(check['limit'])}")
    typer.echo(f"verdict {verdict.digest}: {'passed' if verdict.passed else 'stopped'}")


def _plain(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
