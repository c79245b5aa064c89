"""The outbox of orders, on both databases."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from carcloud.backends.records import Claim, Entry, Records, Vehicle
from carcloud.backends.records.audit import pending
from carcloud.backends.records.orders import ENDED, NO_RESULT, OPEN, Given, Order, OrderState
from carcloud.errors import MissingError

AT = datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)
GIVEN = Given("d" * 64, b'{"command":"unlock"}', "[]", AT)
ORDER = Order(
    "1" * 32, GIVEN.id, "default", "car1", "unlock", "{}", "fleet", "k" * 16, "queued", None, AT + timedelta(60), AT
)


def noted(records: Records) -> list[tuple[str, str, str, str]]:
    rows = records.rows(select(pending.c.actor, pending.c.action, pending.c.object, pending.c.outcome))
    return [(row[0], row[1], row[2], row[3]) for row in rows]


class TestOrders:
    def test_orders_of_an_authorisation_are_queued_once_and_noted(self, records: Records) -> None:
        second = replace(ORDER, id="2" * 32, vehicle="car2")
        assert records.orders.add(GIVEN, [ORDER, second], "person:ada") == [ORDER, second]
        assert records.orders.add(GIVEN, [ORDER, second], "person:ada") == [ORDER, second]
        assert noted(records) == [
            ("person:ada", "sendOrder", f"order:{ORDER.id}", "done"),
            ("person:ada", "sendOrder", f"order:{second.id}", "done"),
        ]
        assert records.orders.given(GIVEN.id) == GIVEN
        assert records.orders.open("car1") == [ORDER]
        assert records.orders.waiting() == {"car1", "car2"}
        assert [one.id for one in records.orders.listed("default", vehicle="car2")] == [second.id]
        assert records.orders.listed("other") == []
        assert records.orders.listed("default", before=AT) == []

    def test_order_moves_on_with_its_times_and_never_back(self, records: Records) -> None:
        records.orders.add(GIVEN, [ORDER], "machine")
        times = [AT + timedelta(seconds=second) for second in (1, 2, 3)]
        for state, at in zip(("delivered", "accepted", "done"), times, strict=True):
            moved = records.orders.advance(ORDER.id, state, None, at, "vehicle:car1")  # type: ignore[arg-type]
            assert moved is not None
            assert moved.state == state
        for state in (*OPEN[1:], *ENDED):
            assert records.orders.advance(ORDER.id, state, None, AT, "vehicle:car1") is None
        order = records.orders.order(ORDER.id)
        assert [order.delivered_at, order.accepted_at, order.ended_at] == times
        assert records.orders.open("car1") == []
        assert [row[1:] for row in noted(records)] == [
            ("sendOrder", f"order:{ORDER.id}", "done"),
            ("orderResult", f"order:{ORDER.id}", "allowed"),
            ("orderResult", f"order:{ORDER.id}", "done"),
        ]

    def test_word_of_a_car_counts_after_the_time_is_over_but_not_after_another_word(self, records: Records) -> None:
        records.orders.add(GIVEN, [ORDER], "machine")
        assert records.orders.overdue(AT) == []
        assert records.orders.overdue(AT + timedelta(61)) == [ORDER]
        assert records.orders.advance(ORDER.id, "expired", NO_RESULT, AT, "process:orders")
        late = records.orders.advance(ORDER.id, "done", None, AT + timedelta(seconds=9), "vehicle:car1")
        assert late is not None
        assert (late.state, late.reason, late.delivered_at) == ("done", None, AT + timedelta(seconds=9))
        assert records.orders.advance(ORDER.id, "failed", "broken", AT, "vehicle:car1") is None

    @pytest.mark.parametrize(("first", "second"), list(itertools.permutations(ENDED, 2)))
    def test_of_two_ends_the_first_stands(self, records: Records, first: str, second: str) -> None:
        records.orders.add(GIVEN, [ORDER], "machine")
        assert records.orders.advance(ORDER.id, first, None, AT, "x") is not None  # type: ignore[arg-type]
        assert records.orders.advance(ORDER.id, second, None, AT, "x") is None  # type: ignore[arg-type]

    @pytest.mark.parametrize("act", ["rekey", "revoke", "retire", "erase"])
    def test_open_orders_end_with_the_right_of_their_car_and_are_noted(self, records: Records, act: str) -> None:
        records.add_vehicle(Vehicle("car1", "default", "WBA00000000000001", None, "active", AT))
        told, held, other = (
            replace(ORDER, id=letter * 32, vehicle=car) for letter, car in (("2", "car1"), ("3", "car1"), ("4", "car2"))
        )
        records.orders.add(GIVEN, [ORDER, told, held, other], "person:seller")
        records.orders.advance(told.id, "delivered", None, AT, "process:orders")
        for state in ("accepted", "done"):
            records.orders.advance(held.id, state, None, AT, "vehicle:car1")  # type: ignore[arg-type]
        before = len(noted(records))
        entry = Entry("person:op", f"{act}Vehicle", "vehicle:car1")
        if act == "erase":
            records.erasures.begin("car1", "person:op")
            assert records.orders.listed("default") == [other]
        else:
            if act == "rekey":
                claim = Claim("c" * 16, "car1", "v" * 64, None, AT, AT + timedelta(hours=1))
                records.life.rekey("car1", claim, "person:op", entry)
            else:
                records.life.change("car1", act, AT, entry)  # type: ignore[arg-type]
            ended = {one.id: (one.state, one.reason, one.ended_at) for one in records.orders.listed("default")}
            assert ended == {
                ORDER.id: ("rejected", "not_authorised", AT),
                told.id: ("expired", NO_RESULT, AT),
                held.id: ("done", None, AT),
                other.id: ("queued", None, None),
            }
            assert (
                records.orders.advance(told.id, "done", None, AT, "vehicle:car1") is not None
            )  # its word still counts
        assert ("person:op", "orderResult", f"order:{ORDER.id}", "denied") in noted(records)[before:]
        assert ("person:op", "orderResult", f"order:{told.id}", "failed") in noted(records)[before:]
        assert records.orders.waiting() == {"car2"}

    def test_quarantine_leaves_orders_as_they_are(self, records: Records) -> None:
        records.add_vehicle(Vehicle("car1", "default", "WBA00000000000001", None, "active", AT))
        records.orders.add(GIVEN, [ORDER], "person:ada")
        records.life.change("car1", "quarantine", AT)
        records.life.change("car1", "release", AT)
        assert records.orders.open("car1") == [ORDER]

    def test_unknown_order_and_authorisation_are_missing(self, records: Records) -> None:
        with pytest.raises(MissingError):
            records.orders.order("nothing")
        with pytest.raises(MissingError):
            records.orders.given("nothing")
        assert records.orders.advance("nothing", "done", None, AT, "x") is None

    def test_newest_of_each_command_stands_beside_the_newest_rejected(self, records: Records) -> None:
        def given(number: int, command: str, state: OrderState) -> Order:
            queued = AT + timedelta(seconds=number)
            return replace(ORDER, id=f"{number:032x}", command=command, state=state, queued_at=queued)

        wanted = [given(2, "lock", "done"), given(4, "lock", "queued"), given(5, "lock", "rejected")]
        others = [given(1, "lock", "rejected"), given(3, "horn", "expired"), given(6, "lock", "done")]
        records.orders.add(GIVEN, [*wanted, *others[:2], replace(others[2], vehicle="car2")], "machine")
        assert records.orders.newest("default", "car1") == [wanted[2], wanted[1], others[1]]
        assert records.orders.newest("other", "car1") == []

    def test_newest_about_each_plan_of_each_car_counts(self, records: Records) -> None:
        def given(number: int, command: str, parameters: str, vehicle: str = "car1") -> Order:
            queued = AT + timedelta(seconds=number)
            order = replace(ORDER, id=f"{number:032x}", command=command, vehicle=vehicle, queued_at=queued)
            return replace(order, parameters=parameters)

        wanted = [given(1, "plan-take", "a"), given(2, "plan-drop", "a"), given(3, "plan-take", "b")]
        others = [given(4, "plan-take", "a", "car2"), given(5, "lock", "a"), given(0, "plan-take", "a")]
        records.orders.add(GIVEN, [*wanted, *others], "machine")
        about = ("default", ("plan-take", "plan-drop"))
        assert records.orders.newest_about(*about, 10) == [others[0], *reversed(wanted)]
        assert records.orders.newest_about(*about, 1) == [others[0]]
        assert records.orders.newest_about("other", about[1], 10) == []
