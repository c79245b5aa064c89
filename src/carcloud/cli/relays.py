"""`carcloud relay`: what is told to authorities' platforms."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import typer

from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats import Bus
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.cli.terminal import harmless
from carcloud.settings import flows_in_force
from carcloud.stream import subjects

app = typer.Typer()
relay = typer.Typer(no_args_is_help=True, help="What is told to authorities' platforms by GB/T 32960.")
app.add_typer(relay, name="relay")


@relay.callback()
def _relay() -> None:
    pass


@relay.command("list")
def list_(data: Data = DATA, config: Config = None) -> None:
    """Show the relays of the running zone: state, and how many reports were sent, accepted and wait."""
    _, folder = zone_of(data, config)
    if not flows_in_force(folder).relays:
        typer.echo("The flows file declares no relay.")
        return
    for one in asyncio.run(_ask(ZoneFile.read(folder)))["relays"]:
        for line in _said(one):
            typer.echo(harmless(line))


def _said(relay: dict[str, Any]) -> list[str]:
    counts = ", ".join(
        f"{relay[what]} {what}" for what in ("sent", "accepted", "refused", "expired", "dropped", "unsaid")
    )
    lines = [
        f"{relay['name']}: to {relay['to']}, edition {relay['edition']}, {relay['state']} since {relay['since']}",
        f"  {relay['cars']} cars; {counts}",
    ]
    if relay["left_out"]:
        lines.append("  not told of: " + ", ".join(f"{n} {why}" for why, n in sorted(relay["left_out"].items())))
    if relay["waiting"]:
        lines.append(f"  {relay['waiting']} wait, the oldest since {relay['oldest_waiting']}")
    if relay["last_error"]:
        again = f" It tries again at {relay['next_try']}." if relay["next_try"] else ""
        lines.append(f"  {relay['last_error']}{again}")
    return lines


async def _ask(zone: ZoneFile) -> dict[str, Any]:
    bus = await Bus.connect(zone.bus("cloud"), "cli")
    try:
        found: dict[str, Any] = orjson.loads(await bus.request(subjects.RELAYS))
        return found
    finally:
        await bus.close()
