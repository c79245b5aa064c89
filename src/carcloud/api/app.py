"""The API as one ASGI application."""

import asyncio
from typing import Any

from fastapi import FastAPI

from carcloud import __version__
from carcloud.api import (
    approvals,
    audit,
    catalogue,
    conditions,
    desired,
    erasures,
    errands,
    errors,
    events,
    flows,
    gates,
    gbt32960,
    governance,
    grants,
    identity,
    lake,
    law,
    oidc,
    orders,
    pages,
    people,
    plan_cars,
    plan_trials,
    plans,
    quarantine,
    recordings,
    relays,
    requests,
    runs,
    scenarios,
    search,
    session,
    status,
    tenants,
    tokens,
    twin,
    vehicles,
    zone,
)
from carcloud.api.door import FOR_STRANGERS, Door
from carcloud.api.ports import Access, Ports
from carcloud.api.viss import rooms
from carcloud.api.viss.session import LIMIT_STRANGERS

ROOMS = (
    status,
    search,
    vehicles,
    twin,
    desired,
    rooms,
    events,
    lake,
    catalogue,
    conditions,
    governance,
    law,
    grants,
    erasures,
    requests,
    flows,
    relays,
    identity,
    quarantine,
    session,
    oidc,
    people,
    tokens,
    tenants,
    approvals,
    orders,
    plans,
    plan_cars,
    plan_trials,
    recordings,
    runs,
    scenarios,
    errands,
    gates,
    gbt32960,
    audit,
    zone,
    pages,
)


def create_app(ports: Ports, access: Access) -> FastAPI:
    """Return the application for one zone."""
    app = describe()
    app.state.ports, app.state.places = ports, events.places()
    app.state.strangers = asyncio.Semaphore(LIMIT_STRANGERS)
    app.state.access = access
    app.add_middleware(Door, access=access, accounts=ports.reception.accounts)
    return app


def describe() -> FastAPI:
    """Return the application without a zone behind it: all its routes, for OpenAPI."""
    app = FastAPI(
        title="carcloud",
        version=__version__,
        description="One zone of the open smart car cloud. Times are RFC 3339 in UTC.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.install(app)
    for room in ROOMS:
        app.include_router(room.routes)
    _say_how_to_come_in(app)
    return app


def _say_how_to_come_in(app: FastAPI) -> None:
    """Say in OpenAPI how to come in, and that every error has the one shape."""
    schema: dict[str, Any] = app.openapi()
    schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            operation["responses"].pop("422", None)
            if path.startswith("/v1/") and (method.upper(), path) not in FOR_STRANGERS:
                operation["security"] = [{"token": []}]
    for unused in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(unused, None)
