"""Plans that a car is ordered to take and drop: by name of content, read again, kept."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from carcloud.onboard.plans import LIMIT_HEARD, LIMIT_PLANS, Plans
from carcloud.onboard.queue import KeptPlan, Queue
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.order import canonical

SPEED, PLACE, HORN = "Vehicle.Speed", "Vehicle.Place", "Vehicle.Horn"
CATALOGUE = Catalogue([Signal(SPEED, "float", "km/h"), Signal(PLACE, "float", "m"), Signal(HORN, "boolean")])


def document(name: str = "fast", **other: object) -> bytes:
    plan: dict[str, object] = {
        "plan": name,
        "version": 1,
        "signals": [SPEED],
        "when": f"{SPEED} > 50 km/h",
        "purpose": "research",
        "basis": "consent",
        "budget": "1 MB",
        "until": "2099-01-01T00:00:00Z",
        "priority": 5,
    }
    return canonical({key: value for key, value in (plan | other).items() if value is not None})


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


@pytest.fixture
def queue(tmp_path):
    opened = Queue(tmp_path / "car.queue")
    yield opened
    opened.close()


@pytest.fixture
def plans(queue) -> Plans:
    return Plans(queue, CATALOGUE, [SPEED, PLACE])


def take(plans: Plans, text: bytes) -> str | None:
    plans.hear(text)
    reason = plans.forbids(digest(text))
    if reason is None:
        plans.take(digest(text))
    return reason


def names(plans: Plans) -> list[tuple[str, int]]:
    return [(one.plan.name, one.plan.version) for one in plans.current()]


def test_a_plan_is_taken_by_its_name_of_content_kept_and_dropped(plans, queue) -> None:
    text = document()
    assert not plans.knows(digest(text))
    assert take(plans, text) is None
    assert plans.knows(digest(text))
    again = Plans(queue, CATALOGUE, [SPEED])
    assert (names(again), again.current()[0].digest) == ([("fast", 1)], digest(text))
    plans.drop("0" * 64)
    assert plans.revision == 1
    plans.drop(digest(text))
    assert (names(plans), queue.plans(), plans.revision) == ([], [], 2)


def test_a_version_takes_the_place_of_another_and_the_same_one_goes_on(plans, queue) -> None:
    text = document()
    assert take(plans, text) is None
    queue.append([], None, {"fast": b'{"fired": 3}'})
    assert take(plans, text) is None
    assert (plans.revision, queue.plans()[0].state) == (1, b'{"fired": 3}')
    assert take(plans, document(version=2)) is None
    assert (names(plans), queue.plans()[0].state) == ([("fast", 2)], b"{}")


def test_documents_are_bounded_and_only_the_last_few_are_remembered(plans) -> None:
    texts = [document(f"plan{n}") for n in range(LIMIT_HEARD + 1)]
    for text in texts:
        plans.hear(text)
    plans.hear(big := b" " * 20_000)
    assert [plans.knows(digest(text)) for text in (texts[0], texts[1], texts[-1], big)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "wrong_plan"),
        (b"[" * 10_000, "wrong_plan"),
        (document(signals=["Vehicle.Nothing"]), "wrong_plan"),
        (document(when="Vehicle.Speed > 3 kg"), "wrong_plan"),
        (document(signals=[HORN]), "unsupported"),
        (document(when=f"{HORN}"), "unsupported"),
        (document(signals=[HORN, SPEED]), None),
    ],
)
def test_what_a_car_cannot_do_it_does_not_take(plans, text, reason) -> None:
    assert take(plans, text) == reason
    assert len(names(plans)) == (reason is None)


def test_signals_that_a_car_does_not_say_are_named(plans) -> None:
    take(plans, document(signals=[HORN, SPEED]))
    assert plans.absent(plans.current()[0].plan) == [HORN]


def test_a_car_has_room_for_so_many_plans(plans) -> None:
    for number in range(LIMIT_PLANS):
        assert take(plans, document(f"plan{number}")) is None
    assert take(plans, document("more")) == "full"
    assert take(plans, document("plan0", version=2)) is None


def test_a_plan_that_is_over_is_not_taken_and_takes_no_room(queue) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    plans = Plans(queue, CATALOGUE, [SPEED], lambda: now.timestamp())
    for number in range(LIMIT_PLANS):
        assert take(plans, document(f"plan{number}", until="2027-02-01T00:00:00Z")) is None
    assert take(plans, document("more")) == "full"
    now = datetime(2027, 2, 1, tzinfo=UTC)
    assert take(plans, document("over", until="2027-02-01T00:00:00Z")) == "expired_plan"
    assert take(plans, document("more")) is None
    plans.let_go()
    assert len(plans.current()) == LIMIT_PLANS + 1, "windows may be under way"
    now += timedelta(hours=1)
    plans.let_go()
    assert (names(plans), [kept.name for kept in queue.plans()]) == ([("more", 1)], ["more"])


def test_windows_of_conditions_need_room_too(plans) -> None:
    hours = " or ".join(f"{kind} of {SPEED} over 1 h > 50 km/h" for kind in ("mean", "min", "max"))
    assert take(plans, document("one", when=hours)) is None
    assert take(plans, document("same", when=hours)) is None, "windows are shared"
    assert take(plans, document("two", when=hours.replace("1 h", "59 min"))) is None
    assert take(plans, document("three", when=hours.replace("1 h", "10 min"))) == "full"


def test_a_plan_that_the_ring_cannot_hold_is_not_taken(queue) -> None:
    many = Catalogue([Signal(f"Vehicle.S{number}", "float") for number in range(400)] + list(CATALOGUE.values()))
    plans = Plans(queue, many, many)
    wide = document("wide", signals=[f"Vehicle.S{number}" for number in range(400)], before="10 min")
    assert take(plans, wide) == "full"
    assert take(plans, document("wide", signals=[f"Vehicle.S{number}" for number in range(400)], before="30 s")) is None


def test_a_kept_plan_that_the_catalogue_does_not_fit_any_more_waits(queue) -> None:
    queue.keep_plan(KeptPlan("old", document("old", signals=["Vehicle.Gone"]), b"{}"))
    plans = Plans(queue, CATALOGUE, [SPEED])
    assert (plans.unread, names(plans)) == (["old"], [])
