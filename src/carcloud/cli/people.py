"""`carcloud link`, `person` and `token`: who uses the zone, as its machine's user decides it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from carcloud.assembly.links import console_link
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.records import ApiToken, Approval, Person, Records
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.terminal import harmless
from carcloud.errors import MissingError
from carcloud.safety.people.accounts import LINK_LASTS, first_person, make_link
from carcloud.safety.people.caller import ROLES
from carcloud.safety.people.register import MACHINE, Change, Register
from carcloud.settings import Folder, Settings

app = typer.Typer()
person = typer.Typer(no_args_is_help=True, help="The people who use the zone, and their roles.")
token = typer.Typer(no_args_is_help=True, help="The tokens by which programs come in.")
app.add_typer(person, name="person")
app.add_typer(token, name="token")

Role = Annotated[list[str], typer.Option("--role", help=f"One of {', '.join(ROLES)}; may be repeated.")]


@app.command()
def link(
    data: Data = DATA,
    config: Config = None,
    person: Annotated[str, typer.Option(help="The login; the local administrator's if none is given.")] = "",
) -> None:
    """Print a link that opens the console of the running zone, once and within 15 minutes."""
    settings, folder = zone_of(data, config)
    typer.echo(console_link(settings, folder, ZoneFile.read(folder), person))


@person.command("add")
def person_add(
    login: str,
    role: Role,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
    name: Annotated[str, typer.Option(help="For people to read; the login if none is given.")] = "",
) -> None:
    """Add a person, and print the link by which they come in and set a password."""
    with _register(data, config, tenant) as (settings, folder, records, register):
        first_person(records, zone_of(data, config)[0].tenant, datetime.now(UTC))
        made = register.add(None, login, name or login, role, settings.tenant)
        assert not isinstance(made, Approval)  # the machine's user needs nobody else
        typer.echo(made[0].id)
        _tell_link(folder, made[1])


@person.command("list")
def person_list(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List everybody."""
    with _register(data, config, tenant) as (settings, _folder, records, _):
        for one in records.people.all(settings.tenant):
            ways = [way for way, has in (("password", one.password), ("second factor", one.factor)) if has]
            roles = ",".join(sorted(one.roles)) or "no role"
            line = f"{one.id}  {one.state:9}  {one.login:20}  {roles:24}  {'+'.join(ways) or '-':22}  {one.name}"
            typer.echo(harmless(line))


@person.command("roles")
def person_roles(login: str, role: Role, data: Data = DATA, config: Config = None) -> None:
    """Give a person these roles and no other; from the next request on."""
    with _register(data, config) as (_, _folder, records, register):
        register.change(None, _by_login(records, login).id, Change(roles=frozenset(role)))
        typer.echo(f"{login}: {', '.join(sorted(role))}")


@person.command("suspend")
def person_suspend(
    login: str,
    data: Data = DATA,
    config: Config = None,
    lift: Annotated[bool, typer.Option("--lift", help="Let the person in again.")] = False,
) -> None:
    """Keep a person out, from the next request on; their tokens too."""
    with _register(data, config) as (_, _folder, records, register):
        state = "active" if lift else "suspended"
        register.change(None, _by_login(records, login).id, Change(state=state))
        typer.echo(f"{login} is {state}")


@person.command("reset")
def person_reset(login: str, data: Data = DATA, config: Config = None) -> None:
    """Forget a person's password and second factor, end their sessions, and print a link."""
    with _register(data, config) as (_, folder, records, register):
        found = _by_login(records, login)
        register.change(None, found.id, Change(reset=True))
        _tell_link(folder, make_link(records, found.id, MACHINE, datetime.now(UTC)))


@token.command("make")
def token_make(
    name: str,
    role: Role,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
    days: Annotated[int, typer.Option(help="How long it holds.")] = 90,
    app_: Annotated[str | None, typer.Option("--app", help="What it is for, as grants to app:NAME say it.")] = None,
) -> None:
    """Make a token for a program, and print it; it is shown this once."""
    with _register(data, config, tenant) as (settings, _, _records, register):
        made, secret = register.make_token(None, name, role, days, settings.tenant, app_)
        typer.echo(secret)
        typer.echo(f"{made.id}, valid until {made.ends_at:%Y-%m-%d}; it is not shown again", err=True)


@token.command("list")
def token_list(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List the tokens, the newest first."""
    with _register(data, config, tenant) as (settings, _folder, records, _):
        names = {one.id: one.login for one in records.people.all(settings.tenant)}
        for one in records.passes.tokens(settings.tenant):
            maker = names.get(one.person or "", MACHINE)
            line = f"{one.id}  {_standing(one):22}  {','.join(sorted(one.roles)):20}  {maker:16}  {one.name}"
            typer.echo(harmless(line))


@token.command("revoke")
def token_revoke(token: str, data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """End a token, from the next request on."""
    with _register(data, config, tenant) as (settings, _, _records, register):
        register.revoke_token(None, token, settings.tenant)
        typer.echo(f"{token} is revoked")


@contextmanager
def _register(
    data: Data, config: Config, tenant: OfTenant = None
) -> Iterator[tuple[Settings, Folder, Records, Register]]:
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        yield settings, folder, records, Register(records)


def _by_login(records: Records, login: str) -> Person:
    found = records.people.by_login(login.strip().lower())
    if found is None:
        raise MissingError(f"Nobody has the login {login!r}.", "List everybody with `carcloud person list`.")
    return found


def _tell_link(folder: Folder, secret: str) -> None:
    try:
        where = ZoneFile.read(folder).console(secret)
    except MissingError:
        typer.echo("The zone does not run; print a link with `carcloud link --person` when it does.", err=True)
        return
    typer.echo(f"{where}\nvalid once, within {LINK_LASTS.seconds // 60} minutes")


def _standing(token: ApiToken) -> str:
    if token.revoked_at is not None:
        return f"revoked {token.revoked_at:%Y-%m-%d}"
    ended = token.ends_at < datetime.now(UTC)
    return f"{'ended' if ended else 'valid until'} {token.ends_at:%Y-%m-%d}"
