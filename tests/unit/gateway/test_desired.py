"""What a car is wanted to be, against what it reports."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from carcloud.backends.records.orders import Order, OrderState
from carcloud.gateway.desired import desired

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOCKED = "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
HORN = "Vehicle.Body.Horn.IsActive"
CHARGE = "Vehicle.Powertrain.TractionBattery.Charging.StartStopCharging"
CHARGING = "Vehicle.Powertrain.TractionBattery.Charging.IsCharging"


def order(
    command: str, state: OrderState, reason: str | None = None, ago_s: int = 60, left_s: int = 60, **parameters: Any
) -> Order:
    text, queued = orjson.dumps(parameters).decode(), NOW - timedelta(seconds=ago_s)
    until = NOW + timedelta(seconds=left_s)
    return Order(f"{command}{ago_s}", "a", "default", "c", command, text, "fleet", "k", state, reason, until, queued)


@pytest.mark.parametrize(
    ("given", "reported", "state", "reason"),
    [
        (order("lock", "queued"), False, "waiting", None),
        (order("lock", "accepted"), None, "waiting", None),
        (order("lock", "queued", left_s=-1), False, "expired", "not_delivered"),
        (order("lock", "accepted", left_s=-1), False, "expired", "no_result"),
        (order("lock", "expired", "not_delivered"), True, "expired", "not_delivered"),
        (order("lock", "rejected", "door_open"), False, "refused", "door_open"),
        (order("lock", "failed", "broken"), False, "failed", "broken"),
        (order("lock", "done"), True, "converged", None),
        (order("lock", "done"), False, "waiting", None),
        (order("lock", "done", left_s=-1), False, "failed", "changed"),
    ],
)
def test_states(given: Order, reported: bool | None, state: str, reason: str | None) -> None:
    (found,) = desired([given], {} if reported is None else {LOCKED: reported}, NOW)
    assert (found.path, found.wanted, found.reported) == (LOCKED, True, reported)
    assert (found.state, found.reason, found.order) == (state, reason, given.id)


def test_the_newest_that_was_not_rejected_counts() -> None:
    old, refused = order("unlock", "done", ago_s=90), order("lock", "rejected", "door_open", ago_s=5)
    (found,) = desired([refused, order("lock", "done", ago_s=99), old], {LOCKED: False}, NOW)
    assert (found.wanted, found.state) == (False, "converged")
    (found,) = desired([refused], {LOCKED: False}, NOW)
    assert (found.wanted, found.state, found.reason) == (True, "refused", "door_open")


def test_what_goes_back_by_itself_and_what_another_signal_tells() -> None:
    given = [order("horn", "done", seconds=2), order("charge-start", "done")]
    found = {one.path: one for one in desired(given, {HORN: False, CHARGING: True}, NOW)}
    assert (found[HORN].wanted, found[HORN].state) == (True, "converged")
    assert (found[CHARGE].wanted, found[CHARGE].reported, found[CHARGE].state) == ("START", "START", "converged")


def test_commands_that_set_nothing_are_left_out() -> None:
    assert desired([order("locate", "done")], {}, NOW) == []
