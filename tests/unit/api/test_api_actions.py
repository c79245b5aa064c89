"""Every route says which act it is."""

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from carcloud.api.app import ROOMS
from carcloud.api.auth import Allowed, Reached
from carcloud.api.door import FOR_STRANGERS
from carcloud.safety.people.policy import Policies


def actions(dependant: Dependant) -> set[str]:
    """Return the acts a route declares, directly or in what it depends on."""
    own = {dependant.call.action} if isinstance(dependant.call, Allowed | Reached) else set()
    return own.union(*map(actions, dependant.dependencies))


def test_every_route_of_v1_declares_its_action() -> None:
    routes = [route for room in ROOMS for route in room.routes.routes if isinstance(route, APIRoute)]
    mine = [route for route in routes if route.path.startswith("/v1/")]
    assert mine
    without = {(method, route.path) for route in mine if not actions(route.dependant) for method in route.methods}
    assert without == FOR_STRANGERS


def test_every_action_is_a_word_of_the_policies() -> None:
    routes = [route for room in ROOMS for route in room.routes.routes if isinstance(route, APIRoute)]
    declared = set().union(*(actions(route.dependant) for route in routes))
    assert declared - Policies.load().actions == set()
