"""The menu of commands, by which `carcloud` finds the one that is asked for.

Rules:
* One file a noun. It is loaded, with all that it stands on, when one of its commands is called, never for the menu.
* So each command's line of help stands here as well as in its file; a test holds the two together.
* What is wrong is said in a sentence, with what to do, and exit code 1.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from carcloud import __version__
from carcloud.errors import CarcloudError

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("zone", "Run a zone until Ctrl-C."),
    "demo": ("demo", "Run a zone with a simulated fleet of electric cars, and recordings if given."),
    "enrol": ("vehicles", "Give a car its identity: a random id, a key and a certificate."),
    "renew": ("vehicles", "Give an enrolled car a new key and certificate; its older ones hold until they end."),
    "revoke": ("vehicles", "End a car's right to speak; a live session is closed at once."),
    "vehicles": ("vehicles", "List the cars."),
    "claim": ("identity", "Let a car join: give out a token with which it gets its first certificate, once."),
    "join": ("identity", "Be a car that joins: make a key, and have it certified by a claim."),
    "vehicle": ("identity", "Change the state of a car's identity; show what it is wanted to be."),
    "identity": (
        "identity",
        "Show who may come in: states, certificates that end soon, clones suspected, claims; of the zone or a car.",
    ),
    "link": ("people", "Print a link that opens the console of the running zone, once and within 15 minutes."),
    "person": ("people", "The people who use the zone, and their roles."),
    "token": ("people", "The tokens by which programs come in."),
    "tenant": ("tenants", "Who has cars and people in the zone, and how much each may take."),
    "drive": ("drive", "Be a car, or a fleet: send a recording or a live bus to a zone."),
    "simulate": ("drive", "Be a fleet of simulated electric cars until Ctrl-C."),
    "order": ("orders", "Tell cars to do something, under your own signature."),
    "plan": ("plans", "What cars collect: tried on history, then deployed."),
    "operator": ("operator", "Whose signatures count when cars are ordered about."),
    "order-signer": ("operator", "Run the order signer as a user of its own until Ctrl-C."),
    "research": ("research", "From recordings to scenarios, and to a verdict on a planner."),
    "sql": ("lake", "Ask the lake; the answer is a table."),
    "export": ("lake", "Write an answer of the lake to a file, however large."),
    "verify": ("verify", "Check what the zone claims."),
    "audit": ("audit", "Look into the audit log: what was done, by whom."),
    "witness": ("audit", "Be a witness of audit logs, for zones elsewhere, until Ctrl-C."),
    "quarantine": ("quarantine", "Look into what the guards refused."),
    "governance": ("governance", "What the zone keeps of what cars say, and why."),
    "grant": ("grants", "Who may see or do what with a car."),
    "consent": (
        "grants",
        "Show, give or withdraw a car's consents, which are grants to the zone; what is withdrawn is dropped at once.",
    ),
    "retention": (
        "lake",
        "Show how many rows the lake keeps of each signal, how old they are, and when they go.",
    ),
    "erase": ("governance", "Erase all that the zone holds of a car; it cannot be undone."),
    "erasures": ("governance", "List what was erased, and how far it has come."),
    "request": ("reports", "What people asked for about their data, and until when."),
    "report": ("reports", "Write a record of processing, the draft of an impact assessment, or the yearly report."),
    "backup": ("backup", "Take a backup of the running zone, or look after backups."),
    "restore": ("backup", "Restore a zone from a backup into a new folder, erasures since applied."),
    "access": ("reports", "Write a copy of all that the zone holds of a car, for the person it is about."),
    "flow": ("flows", "What may leave the zone for another."),
    "relay": ("relays", "What is told to authorities' platforms by GB/T 32960."),
    "zone": ("zones", "What the zone is: region, tenants, rules, keys, what leaves and comes."),
    "catalogue": ("catalogue", "The signals the zone knows."),
    "gbt32960": ("gbt32960", "Terminals that speak GB/T 32960: who may come in, and who is there."),
    "import": ("imports", "Move in from another cloud."),
}
"""Each command: the file it lives in, and its line of help."""


def command(name: str) -> Any:
    """Load a command, or group of commands, from its file."""
    noun, _ = COMMANDS[name]
    group = typer.main.get_command(import_module(f"carcloud.cli.{noun}").app)
    return group.commands[name]  # type: ignore[attr-defined]


class Menu(TyperGroup):
    """The commands by name and line of help; the one that is called is loaded."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = {name: TyperCommand(name, help=line) for name, (_, line) in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the called command's name, the command itself, and what follows it."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and command(found.name or ""), rest


app = typer.Typer(
    cls=Menu,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="The open smart car cloud.",
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"carcloud {__version__}")
        raise typer.Exit


@app.callback()
def _carcloud(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a known error is one sentence and exit code 1."""
    try:
        app()
    except CarcloudError as error:
        typer.secho(f"carcloud: {error}", err=True, fg=typer.colors.RED)
        sys.exit(1)
