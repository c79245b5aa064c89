"""Orders to cars: given under a person's own signature, and followed until the car has said what became of them."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import StreamingResponse

from carcloud.api.auth import Caller, allowed, reach_of, reached
from carcloud.api.errors import RESPONSES
from carcloud.api.events import take_place
from carcloud.api.ports import OrderDesk, Ports, Wired
from carcloud.api.times import Time
from carcloud.backends.records import Entry, Records
from carcloud.backends.records.orders import Order, OrderState
from carcloud.errors import MissingError, TryLaterError
from carcloud.gateway.outbox import give
from carcloud.safety.grants.reach import Reach
from carcloud.stream import subjects

LIMIT_PAGE = 1000

Sender = Annotated[Caller, Depends(allowed("sendOrder"))]
Told = Annotated[Reach, Depends(reached("sendOrder"))]
Reader = Annotated[Caller, Depends(allowed("readOrders"))]
Seen = Annotated[Reach, Depends(reached("readOrders"))]


class SignatureGiven(BaseModel):
    """A person's signature over the authorisation. `signature`: r and s, 64 bytes, base64."""

    key: str = Field(pattern="^[0-9a-f]{16}$")
    signature: str = Field(max_length=100)


class OrderWanted(BaseModel):
    """An authorisation, as it was signed: canonical JSON; docs/orders.md says what is in it."""

    authorisation: str
    signatures: list[SignatureGiven] = Field(min_length=1, max_length=4)


class OrderShown(BaseModel):
    """An order to one car. `reason` says why it was rejected, failed or expired."""

    id: str
    authorisation: str
    vehicle: str
    command: str
    parameters: dict[str, float | str]
    role: str
    keys: list[str]
    state: str
    reason: str | None
    expires_at: Time
    queued_at: Time
    delivered_at: Time | None
    accepted_at: Time | None
    ended_at: Time | None


class OrderList(BaseModel):
    """Orders, the newest first; ask again with `before` the last one's `queued_at` for more."""

    orders: list[OrderShown]


class KeyShown(BaseModel):
    """A person's key that the order signer knows. `vehicles`: the cars it is for; empty means all."""

    name: str
    key: str
    roles: list[str]
    vehicles: list[str]
    label: str


class KeyList(BaseModel):
    """The keys the order signer knows; they are registered on its own side only."""

    keys: list[KeyShown]


class Pairing(BaseModel):
    """A browser's public key, with the proof that it was shown the one-time code. Both base64."""

    name: str = Field(max_length=64)
    point: str = Field(max_length=100)
    proof: str = Field(max_length=100)


class Paired(BaseModel):
    """The id under which the key is registered, and its roles."""

    key: str
    roles: list[str]


routes = APIRouter(tags=["orders"], responses=RESPONSES)


@routes.post("/v1/orders", status_code=202)
async def order(ports: Wired, caller: Sender, reach: Told, wanted: OrderWanted) -> OrderList:
    """Give an order to one car or many."""
    desk = _desk(ports.orders)
    signatures = [one.model_dump() for one in wanted.signatures]
    queued = await give(ports.records, desk.signer, desk.look, wanted.authorisation, signatures, reach, caller.id)
    await ports.notify(subjects.ORDERED, ",".join(one.vehicle for one in queued).encode())
    return OrderList(orders=[_shown(one) for one in queued])


@routes.get("/v1/orders")
async def orders(
    ports: Wired,
    reach: Seen,
    vehicle: str | None = None,
    state: OrderState | None = None,
    before: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_PAGE)] = 100,
) -> OrderList:
    """List orders, the newest first."""

    def seen(one: Order) -> bool:
        return reach.orders(one.vehicle, one.command, one.queued_at)

    def listed() -> list[Order]:
        asked = reach.tenant, vehicle, state, limit, before
        if reach.parts is None:
            return ports.records.orders.listed(*asked)
        return ports.records.orders.listed(*asked, reach.commands, reach.orders_from, seen)

    found = await run_in_threadpool(listed)
    return OrderList(orders=[_shown(one) for one in found])


@routes.get(
    "/v1/orders/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events named `order`"}},
)
async def order_events(
    ports: Wired, request: Request, caller: Reader, reach: Seen, vehicle: str | None = None
) -> StreamingResponse:
    """Follow orders as they move on: data {"id", "vehicle", "state", "reason"}."""
    desk, give_back = _desk(ports.orders), take_place(request, ports, caller)

    async def told() -> AsyncGenerator[bytes, None]:
        try:
            yield b": welcome\n\n"
            async with contextlib.aclosing(desk.watch()) as changes:
                async for change in changes:
                    if change is None:
                        yield b": still here\n\n"
                    elif change["tenant"] == caller.tenant and vehicle in (None, change["vehicle"]):
                        if not await _reaches(ports, caller, reach, change["id"]):
                            continue
                        shown = {name: change[name] for name in ("id", "vehicle", "state", "reason")}
                        yield b"event: order\ndata: " + orjson.dumps(shown) + b"\n\n"
        finally:
            give_back()

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(told(), media_type="text/event-stream", headers=headers)


@routes.get("/v1/orders/keys")
async def keys(ports: Wired, reach: Seen) -> KeyList:
    """List the keys of people that the order signer knows; by grants, those registered for cars in reach only."""
    found = await run_in_threadpool(_desk(ports.orders).signer.of(reach.tenant).people)
    if reach.cars is not None:
        found = [one for one in found if one["vehicles"] and reach.cars.issuperset(one["vehicles"])]
    return KeyList(keys=[KeyShown(**{name: one[name] for name in KeyShown.model_fields}) for one in found])


@routes.post("/v1/orders/keys")
async def pair(ports: Wired, caller: Sender, wanted: Pairing) -> Paired:
    """Register a browser's key by a one-time code that `carcloud operator pair` shows."""
    signer = _desk(ports.orders).signer.of(caller.tenant)
    return await run_in_threadpool(_pair, ports.records, signer.pair, caller, wanted)


@routes.get("/v1/orders/{order}")
async def one_order(ports: Wired, reach: Seen, order: str) -> OrderShown:
    """Show one order."""
    found = await run_in_threadpool(ports.records.orders.order, order)
    if found.tenant != reach.tenant or not reach.orders(found.vehicle, found.command, found.queued_at):
        raise MissingError(f"No order {order[:40]!r}.", "List them: GET /v1/orders.")
    return _shown(found)


async def _reaches(ports: Ports, caller: Caller, reach: Reach, id_: str) -> bool:
    """Tell whether whoever follows orders may see this one, as the grants are now."""
    if reach.parts is None:
        return True
    now = await run_in_threadpool(reach_of, ports, caller, "readOrders")
    found = await run_in_threadpool(ports.records.orders.order, id_)
    return now.orders(found.vehicle, found.command, found.queued_at)


def _pair(records: Records, pair: Callable[[str, str, str], dict[str, Any]], caller: Caller, wanted: Pairing) -> Paired:
    """Register a key at the order signer, and note that before anybody hears of it."""
    paired = Paired(**pair(wanted.name, wanted.point, wanted.proof))
    facts, details = {"change": "paired", "key": paired.key, "roles": paired.roles}, {"name": wanted.name}
    records.audit.add(Entry(caller.id, "changeOperators", "zone", "done", facts, details, caller.tenant))
    return paired


def _desk(desk: OrderDesk | None) -> OrderDesk:
    if desk is None:
        raise TryLaterError("This zone has no order signer.", "Start one: carcloud order-signer.")
    return desk


def _shown(found: Order) -> OrderShown:
    given: dict[str, Any] = vars(found) | {
        "parameters": orjson.loads(found.parameters),
        "keys": found.keys.split(","),
    }
    return OrderShown(**{name: given[name] for name in OrderShown.model_fields})
