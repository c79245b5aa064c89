"""`carcloud operator` and `carcloud order-signer`: whose signatures count, and the process that signs for them."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.assembly.records import open_records
from carcloud.backends.records import Entry
from carcloud.backends.records.audit import Outcome
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError
from carcloud.safety.identity import Authority
from carcloud.safety.keys import write_file
from carcloud.safety.orders.authorisation import LONGEST_S, key_id
from carcloud.safety.orders.doors import LASTS_S, door_file, new_door
from carcloud.safety.orders.keyring import load_key, new_key, use_token
from carcloud.safety.orders.keys import certify, is_certified, orders_folder, tenant_of
from carcloud.safety.orders.people import People
from carcloud.safety.orders.server import OrderServer, OrderSigners, order_signer
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.commands import COMMANDS, FLEET, ROLES

CHANGE = "changeOperators"

Keys = Annotated[
    Path | None, typer.Option("--keys", help="The order signer's folder, where it is not the zone's keys/orders.")
]
Role = Annotated[list[str], typer.Option("--role", help="owner, fleet or operator; may be repeated.")]
Cars = Annotated[
    list[str] | None, typer.Option("--vehicle", help="A car the key is for; may be repeated. None: every car.")
]

app = typer.Typer()
operator = typer.Typer(no_args_is_help=True, help="Whose signatures count when cars are ordered about.")
app.add_typer(operator, name="operator")


@operator.command("add")
def operator_add(
    name: str,
    role: Role,
    vehicle: Cars = None,
    key: Annotated[Path | None, typer.Option(help="A public key, PEM, of the curve P-256.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the new development key.")] = None,
    data: Data = DATA,
    keys: Keys = None,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Register a person's public key; without one, make a development key in a file of mode 0600."""
    folder = _folder(data, keys, config, tenant)
    people = People(folder)
    if key is not None:
        given = _public(key)
        with _noted(folder, data, keys, config, name, {"key": key_id(given), "change": "add"}, role):
            added = people.add(name, given, role, vehicle or [], "given")
        typer.echo(f"{added.key}  {name}")
        return
    place = out or Path(f"{name}.order.key")
    if place.exists():
        raise ConflictError(f"{place} exists already.", "Give another file with --out.")
    made = new_key()
    given = load_key(made).public_key()
    with _noted(folder, data, keys, config, name, {"key": key_id(given), "change": "add"}, role):
        added = people.add(name, given, role, vehicle or [], "development")
    write_file(place, b"# development key: a file, guarded by nothing but its mode\n" + made)
    typer.echo(f"{added.key}  {name}\ndevelopment key in {place}")


@operator.command("door")
def operator_door(
    name: str,
    command: Annotated[list[str], typer.Option("--command", help="What the door may order; may be repeated.")],
    role: Annotated[
        list[str] | None, typer.Option("--role", help="owner, fleet or operator; fleet where none is given.")
    ] = None,
    vehicle: Cars = None,
    within: Annotated[
        int, typer.Option(min=1, max=LONGEST_S, help="How long what it orders may hold, in seconds.")
    ] = LASTS_S,
    out: Annotated[
        Path | None, typer.Option(help="Where to write its private half, where that is not the zone's keys/doors.")
    ] = None,
    data: Data = DATA,
    keys: Keys = None,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Let the doors to the twin (VISS, kuksa) set values: make a key limited to commands and cars."""
    folder, roles = _folder(data, keys, config, tenant), role or [FLEET]
    people, place = People(folder), out
    if not TOKEN.fullmatch(name):
        raise InputError(f"{name[:80]!r} is no name.", "Use 1 to 64 letters, digits, _ and -.")
    if place is None:
        _, zone = zone_of(data, config)
        place = door_file(zone.keys, tenant_of(folder), name)
    if place.exists() or any(one.name == name for one in people.all()):
        raise ConflictError(f"{name} has a key already.", "Remove it first: carcloud operator remove.")
    given = new_door(place)
    facts: dict[str, object] = {"key": key_id(given), "change": "door", "commands": sorted({*command} & {*COMMANDS})}
    try:
        with _noted(folder, data, keys, config, name, facts, roles):
            added = people.add(name, given, roles, vehicle or [], "door", command, within)
    except CarcloudError:
        place.unlink()
        raise
    typer.echo(f"{added.key}  {name}\nthe door's key is in {place}")


@operator.command("list")
def operator_list(data: Data = DATA, keys: Keys = None, config: Config = None, tenant: OfTenant = None) -> None:
    """List the registered keys."""
    for one in People(_folder(data, keys, config, tenant)).all():
        cars, may = ",".join(one.vehicles) or "every car", ",".join(one.commands) or "all that its roles may"
        typer.echo(f"{one.key}  {one.name:16}  {','.join(one.roles):14}  {one.label:12}  {cars}  {may}")


@operator.command("remove")
def operator_remove(
    name: str, data: Data = DATA, keys: Keys = None, config: Config = None, tenant: OfTenant = None
) -> None:
    """Forget the keys of a person or a door: nothing they sign counts from now on."""
    folder = _folder(data, keys, config, tenant)
    people = People(folder)
    known = [one.key for one in people.all() if one.name == name]
    if not known:
        raise MissingError(f"No key is registered for {name}.", "List them: carcloud operator list.")
    with _noted(folder, data, keys, config, name, {"keys": known, "change": "remove"}):
        people.remove(name)
    with contextlib.suppress(MissingError):  # an order signer of its own user has no zone beside it
        door_file(zone_of(data, config)[1].keys, tenant_of(folder), name).unlink(missing_ok=True)
    typer.echo(f"{name} is removed")


@operator.command("pair")
def operator_pair(
    name: str,
    role: Role,
    vehicle: Cars = None,
    data: Data = DATA,
    keys: Keys = None,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Show a one-time code by which a browser may register a key in this name, for ten minutes."""
    folder = _folder(data, keys, config, tenant)
    people = People(folder)
    with _noted(folder, data, keys, config, name, {"change": "pair"}, role):
        code = people.pair(name, role, vehicle or [])
    typer.echo(code)


@operator.command("init")
def operator_init(
    keys: Annotated[Path, typer.Option("--keys", help="The folder to make.")],
    data: Data = DATA,
    config: Config = None,
    pkcs11: Annotated[Path | None, typer.Option(help="A hardware token's library, to keep the keys in it.")] = None,
    token: Annotated[str, typer.Option(help="The hardware token's label.")] = "",
    pin_file: Annotated[Path | None, typer.Option(help="The file with the hardware token's PIN, mode 0600.")] = None,
    tenant: OfTenant = None,
) -> None:
    """Make a folder for a tenant's order signer of its own user, certified by the zone's root."""
    settings, folder = zone_of(data, config, tenant)
    if is_certified(keys) and tenant_of(keys) != settings.tenant:
        raise _of_another(keys)
    if pkcs11 is not None:
        if not token or pin_file is None:
            raise InputError("A hardware token needs its label and PIN.", "Give --token and --pin-file too.")
        use_token(keys, pkcs11, token, pin_file)
    elif token or pin_file is not None:
        raise InputError("Which library speaks to the token?", "Give its maker's with --pkcs11.")
    guarded = "pkcs11" if pkcs11 is not None else "development"
    with contextlib.closing(open_records(settings, folder)) as records:
        facts = {"change": "init", "keys": guarded}
        records.audit.add(Entry("machine", CHANGE, "zone", facts=facts, tenant=settings.tenant))
    certify(keys, Authority(folder.keys), settings.tenant)
    typer.echo(f"{keys} is certified. Give it to the order signer's user, and keep the zone's root.key elsewhere.")


@app.command("order-signer")
def run_order_signer(
    keys: Annotated[
        list[Path], typer.Option("--keys", help="The folder that `carcloud operator init` made; one for each tenant.")
    ],
    path: Annotated[Path, typer.Option("--socket", help="Where to listen.")],
    user: Annotated[
        list[int] | None, typer.Option("--user", help="A user id that gets answers; may be repeated. None: its own.")
    ] = None,
) -> None:
    """Run the order signer as a user of its own until Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    signers = OrderSigners(order_signer(folder) for folder in keys)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o666 if user else 0o600)  # who gets an answer, the kernel says
    server = OrderServer(signers, listener, user or ())
    server.start()
    typer.echo(f"The order signer listens at {path}.", err=True)
    stop.wait()
    server.close()
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def _noted(
    signer: Path,
    data: Path,
    keys: Path | None,
    config: Path | None,
    name: str,
    facts: dict[str, object],
    roles: Sequence[str] = (),
) -> Iterator[None]:
    """Note a change of whose signatures count before it is made, and that it failed where it did.

    An order signer of its own user has no zone beside it to note it in; that is said.
    """
    try:
        settings, folder = zone_of(data, config)
    except MissingError:
        if keys is None or config is not None:
            raise
        typer.echo(f"No zone is in {data}: this is not in its audit log. Name it with --data.", err=True)
        yield
        return
    facts = facts | {"roles": sorted({role for role in roles if role in ROLES})}
    tenant = tenant_of(signer)
    with contextlib.closing(open_records(settings, folder)) as records:

        def note(outcome: Outcome) -> None:
            records.audit.add(Entry("machine", CHANGE, "zone", outcome, facts, {"name": name}, tenant))

        note("done")
        try:
            yield
        except CarcloudError:
            note("failed")
            raise


def _folder(data: Path, keys: Path | None, config: Path | None, tenant: str | None) -> Path:
    """Return the folder of a tenant's order signer, which is certified."""
    if keys is None:
        settings, zone = zone_of(data, config)
        named, _ = zone_of(data, config, tenant)
        folder = orders_folder(zone.keys, named.tenant, settings.tenant)
    else:
        folder = keys
    if not is_certified(folder):
        do = "Start the zone once, or make the folder with `carcloud operator init`."
        raise MissingError(f"{folder} is no order signer's folder.", do)
    if tenant is not None and tenant_of(folder) != tenant:
        raise _of_another(folder)
    return folder


def _of_another(folder: Path) -> ConflictError:
    return ConflictError(
        f"{folder} is of tenant {tenant_of(folder)}.", "Name that one with --tenant, or another folder."
    )


def _public(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no public key: {error}.", "Give a PEM file.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(f"{path} holds no key of the curve P-256.", "Make one: openssl ecparam -name prime256v1.")
    return key
