"""Giving an order: whoever brings an authorisation, it is checked by the order signer, by the cars' state, and queued.

Rules:
* Nothing here is trusted by a car, or by the order signer: both ask again. It spares people waiting for a refusal.
* What is refused here is noted for the audit log, as what is queued is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson

from carcloud.backends.records import Entry, Records
from carcloud.backends.records.orders import Given, Order
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, NotAllowedError
from carcloud.gateway.delivery import check_deliverable, plan_of
from carcloud.gateway.orders import Look
from carcloud.safety.grants.reach import Reach
from carcloud.safety.orders.authorisation import Authorisation, parse
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.vehicle.commands import PLAN_TAKE, REASONS, interlock

LOOKS_AT_ONCE = 100


async def give(
    records: Records,
    signer: OrderSignerClient,
    look: Look,
    text: str,
    signatures: Sequence[Mapping[str, str]],
    reach: Reach,
    actor: str,
) -> list[Order]:
    """Queue the orders that an authorisation asks for; the same one again changes nothing. Tell the courier afterwards.

    Args:
        reach: which of whose cars may be told what by whoever brings it.

    Raises:
        InputError: it is no authorisation.
        NotAllowedError: its signers may not order this, it is for another tenant or one that is suspended, no grant
            opens it, or the cars' state forbids it now.
        MissingError: there is no such car, or no such plan.
        ConflictError: a car is not active, or a plan does not go to cars any more.
    """
    given = await check(records, signer, look, text, signatures, reach, actor)
    now = datetime.now(UTC)
    keys = ",".join(str(one["key"]) for one in signatures)
    wanted = [
        Order(
            id_,
            given.digest,
            reach.tenant,
            vehicle,
            given.command.name,
            orjson.dumps(dict(given.parameters)).decode(),
            given.role,
            keys,
            "queued",
            None,
            datetime.fromtimestamp(given.expires_at, UTC),
            now,
        )
        for vehicle, id_ in given.orders().items()
    ]
    kept = Given(given.digest, given.text, orjson.dumps(list(signatures)).decode(), now)
    return await asyncio.to_thread(records.orders.add, kept, wanted, actor)


async def check(
    records: Records,
    signer: OrderSignerClient,
    look: Look,
    text: str,
    signatures: Sequence[Mapping[str, str]],
    reach: Reach,
    actor: str,
) -> Authorisation:
    """Return what an authorisation says, if its orders could be given now; raise what `give` raises."""
    given = parse(_bytes(text))
    try:
        await asyncio.to_thread(_check, records, signer, given, signatures, reach)
        await _look(given, look)
    except (NotAllowedError, ConflictError, MissingError) as error:
        await asyncio.to_thread(records.audit.add, _denied(given, signatures, error, actor, reach.tenant))
        raise
    return given


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write and UTF-8 cannot
        raise InputError("This is no authorisation: it is no text.", "Send exactly what was signed.") from None


def _check(
    records: Records,
    signer: OrderSignerClient,
    given: Authorisation,
    signatures: Sequence[Mapping[str, str]],
    reach: Reach,
) -> None:
    if not records.tenants.stands(reach.tenant):
        raise NotAllowedError(f"Tenant {reach.tenant} is suspended.", "Its cars take no orders until it is resumed.")
    for vehicle in given.vehicles:
        found = records.vehicle(vehicle)
        if found.tenant != reach.tenant or not reach.holds(vehicle):
            raise MissingError(f"No vehicle {vehicle!r}.", "List the enrolled ones with `carcloud vehicles`.")
        if not reach.orders(vehicle, given.command.name):
            message = f"No grant lets you order {given.command.name} ({vehicle})."
            raise NotAllowedError(message, "Ask the car's owner, or who runs the zone, for one.")
        if found.state != "active":
            raise ConflictError(f"Vehicle {vehicle} is {found.state}.", "Only an active car takes orders.")
    if given.command.name == PLAN_TAKE:
        check_deliverable(plan_of(records, reach.tenant, given.parameters), datetime.now(UTC))
    signer.of(reach.tenant).check(given.text.decode(), signatures)


async def _look(given: Authorisation, look: Look) -> None:
    for start in range(0, len(given.vehicles), LOOKS_AT_ONCE):
        some = given.vehicles[start : start + LOOKS_AT_ONCE]
        for vehicle, state in zip(some, await asyncio.gather(*map(look, some)), strict=True):
            reason = interlock(given.command.name, given.parameters, state)
            if reason is not None:
                message = f"{given.command.name} is not possible now: {REASONS[reason]} ({vehicle})."
                raise NotAllowedError(message, "Order it again when that is over.")


def _denied(
    given: Authorisation, signatures: Sequence[Mapping[str, str]], error: CarcloudError, actor: str, tenant: str
) -> Entry:
    facts = {
        "command": given.command.name,
        "role": given.role,
        "vehicles": len(given.vehicles),
        "keys": ",".join(str(one["key"])[:16] for one in signatures),
        "code": error.code,
    }
    return Entry(actor, "sendOrder", f"vehicle:{given.vehicles[0]}", "denied", facts, tenant=tenant)
