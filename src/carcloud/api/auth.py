"""Who may do what: every route of `/v1` says by `allowed` which act it is, and the policies decide.

- A car of another tenant does not exist for the caller: 404, and in the audit log the same, as for one that nobody has.
- What was denied is noted for the audit log.
"""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from carcloud.api.ports import Ports, TwinPorts
from carcloud.backends.records import Entry, Vehicle
from carcloud.errors import MissingError, NotAllowedError
from carcloud.safety.grants.desk import grantees_of, held_by, reach_by_grants
from carcloud.safety.grants.reach import Reach
from carcloud.safety.people.accounts import SignedIn
from carcloud.safety.people.caller import Caller
from carcloud.safety.people.policy import Resource, zone_of

__all__ = ["Allowed", "Caller", "Held", "admit", "allowed", "own_vehicle", "owner_of", "reach_of", "reached"]


class FactorNeededError(NotAllowedError):
    """The caller may do this, but has not shown a second factor."""

    code = "factor_needed"


class Allowed:
    """A dependency that lets a request through to its route, or refuses it, by the act it asks for.

    Where the path names a `{vehicle}`, the act is on that car, else on all that the caller's tenant has.
    """

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Caller:
        """Return who calls, where they may do this act."""
        caller: Caller = request.state.caller
        ports: Ports = request.app.state.ports
        await admit(ports, caller, self.action, request.path_params.get("vehicle"), self.resource(request))
        return caller

    def resource(self, request: Request) -> Resource:
        """Return what an act without a car is on."""
        caller: Caller = request.state.caller
        return zone_of(caller.tenant)


async def admit(
    ports: TwinPorts, caller: Caller, action: str, vehicle: str | None = None, resource: Resource | None = None
) -> None:
    """Return where a caller may do an act, on a car or on what their tenant has; note it where they may not.

    Raises:
        MissingError: the caller sees no such car.
        NotAllowedError: the caller may not do this.
    """
    resource, known = resource or zone_of(caller.tenant), True
    if vehicle is not None:  # one that is not there, or another tenant's, is asked for as one's own would be
        found = await run_in_threadpool(_vehicle, ports, vehicle)
        known = found is not None and found.tenant == caller.tenant
        resource = found if found is not None and known else Resource("Vehicle", vehicle, caller.tenant)
    policy = ports.reception.policy
    if not policy.allows(caller, action, resource):
        if resource.tenant == caller.tenant:
            resource = await run_in_threadpool(_granted, ports, caller, resource)
        if not policy.allows(caller, action, resource):
            await _deny(ports, caller, action, resource, known)
    if vehicle is not None and not known:
        raise _no_vehicle(vehicle)


async def _deny(ports: TwinPorts, caller: Caller, action: str, resource: Resource, known: bool) -> None:
    policy, own = ports.reception.policy, zone_of(caller.tenant, granted=resource.granted)
    object_ = f"vehicle:{resource.id}" if resource.kind == "Vehicle" and known else "zone"
    entry = Entry(caller.id, action, object_, "denied", tenant=caller.tenant)
    await run_in_threadpool(ports.reception.denials.note, entry)
    opened = replace(resource, tenant=caller.tenant, granted=True, owned=True)
    hidden = resource.kind == "Vehicle" and (resource.tenant != caller.tenant or not resource.granted)
    if hidden and policy.allows(caller, action, opened):
        raise _no_vehicle(resource.id)
    if not caller.mfa and policy.allows(caller, action, own, mfa=True):
        raise FactorNeededError(
            "This needs a second factor.", "Sign in with its code; set one up first if you have none."
        )
    raise NotAllowedError(f"Your roles do not allow {action}.", "Ask who runs the zone for a role that does.")


def allowed(action: str) -> Allowed:
    """Return the dependency of a route that does this act, a word of the policies: `Depends(allowed("readTwin"))`."""
    return Allowed(action)


class Reached:
    """A dependency that lets a request through as `Allowed` does, and returns what the caller reaches by this act.

    Who may do it to any car of their tenant reaches all; else only what grants open.
    """

    def __init__(self, action: str) -> None:
        self.action, self._allowed = action, Allowed(action)

    async def __call__(self, request: Request) -> Reach:
        """Return what the caller reaches."""
        caller = await self._allowed(request)
        return await run_in_threadpool(reach_of, request.app.state.ports, caller, self.action)


def reached(action: str) -> Reached:
    """Return the dependency of a route that shows or takes what the caller reaches: `Depends(reached("readTwin"))`."""
    return Reached(action)


def reach_of(ports: TwinPorts, caller: Caller, action: str) -> Reach:
    """Return what a caller reaches by an act, now. Waits for disk."""
    if ports.reception.policy.allows(caller, action, Resource("Vehicle", "", caller.tenant)):
        return Reach(caller.tenant)
    return reach_by_grants(ports.records, ports.ground, caller)


def owner_of(ports: Ports, caller: Caller, action: str) -> tuple[str, ...] | None:
    """Return the caller as grantees are named, where they do this act only as the owner of a car; else None."""
    whole = ports.reception.policy.allows(caller, action, Resource("Vehicle", "", caller.tenant))
    return None if whole else grantees_of(caller)


def own_vehicle(ports: TwinPorts, caller: Caller, id_: str, reach: Reach) -> Vehicle:
    """Return a car that a request names beside its path; raise MissingError where it is another's, or out of reach."""
    vehicle = ports.records.vehicle(id_)
    if vehicle.tenant != caller.tenant or not reach.holds(id_):
        raise _no_vehicle(id_)
    return vehicle


def _vehicle(ports: TwinPorts, id_: str) -> Resource | None:
    try:
        found = ports.records.vehicle(id_)
    except MissingError:
        return None
    return Resource("Vehicle", found.id, found.tenant)


def _granted(ports: TwinPorts, caller: Caller, resource: Resource) -> Resource:
    held = held_by(ports.records, ports.ground, caller, resource.id if resource.kind == "Vehicle" else None)
    return replace(resource, granted=bool(held), owned=any(one.grant.owner for one in held))


def _no_vehicle(id_: str) -> MissingError:
    return MissingError(f"No vehicle {id_!r}.", "List the enrolled ones with `carcloud vehicles`.")


def _held(request: Request) -> SignedIn:
    held: SignedIn | None = request.state.held
    if held is None:
        raise NotAllowedError("This is for people who signed in, not for tokens.", "Sign in at the console.")
    return held


Held = Annotated[SignedIn, Depends(_held)]
"""The session of the person who calls; a token has none."""
