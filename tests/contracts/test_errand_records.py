"""Errands on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from carcloud.backends.records import Records
from carcloud.backends.records.errands import LIMIT_ERROR, LIMIT_KEPT, LIMIT_OPEN, Errand
from carcloud.errors import ConflictError, MissingError

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ERRAND = Errand("e1", "acme", "run", {"planner": "idm", "query": ""}, "person:p", AT)


def another(number: int) -> Errand:
    return replace(ERRAND, id=f"n{number}", said={"number": number}, made_at=AT + timedelta(minutes=number))


def test_errand_is_carried_out_and_over_for_ever(records: Records):
    assert records.errands.ask(ERRAND) == ERRAND
    assert records.errands.ask(replace(ERRAND, id="e2")) == ERRAND, "the same, asked twice, is one"
    assert records.errands.next() == ERRAND
    running = records.errands.move(ERRAND, "running", AT)
    records.errands.tell(running, "ab12")
    done = records.errands.move(running, "done", AT)
    assert (done.state, done.result, done.ended_at) == ("done", "ab12", AT)
    for late in ("running", "failed"):
        assert records.errands.move(done, late, AT + timedelta(1), error="late") == done  # type: ignore[arg-type]
    assert records.errands.stop("acme", "e1", "person:q", AT) == done
    assert records.errands.next() is None
    assert [act.object for act in records.audit.pending(9)] == ["errand:e1"]


def test_what_was_begun_goes_before_what_waits(records: Records):
    first, second = (records.errands.ask(another(number)) for number in (1, 2))
    records.errands.move(second, "running", AT)
    found = records.errands.next()
    assert found
    assert (found.id, found.state) == (second.id, "running")
    records.errands.stop("acme", second.id, "person:q", AT)
    found = records.errands.next()
    assert found
    assert found.id == first.id
    objects = [act.object for act in records.audit.pending(9)]
    assert objects == [f"errand:{one.id}" for one in (first, second, second)], "stopping is noted"


def test_errands_are_of_their_tenant_and_only_so_many(records: Records):
    for number in range(LIMIT_OPEN):
        records.errands.ask(another(number))
    with pytest.raises(ConflictError, match="wait already"):
        records.errands.ask(ERRAND)
    assert records.errands.ask(replace(ERRAND, tenant="other")).tenant == "other"
    with pytest.raises(MissingError):
        records.errands.get("other", "n1")
    with pytest.raises(MissingError):
        records.errands.stop("other", "n1", "person:q", AT)


def test_old_errands_are_forgotten_and_long_errors_cut(records: Records):
    for number in range(LIMIT_KEPT + 3):
        asked = records.errands.ask(another(number))
        records.errands.move(asked, "failed", AT, error="x" * 2 * LIMIT_ERROR)
    left = records.errands.listed("acme", 2 * LIMIT_KEPT)
    assert (len(left), left[0].id, len(left[0].error)) == (LIMIT_KEPT, f"n{LIMIT_KEPT + 2}", LIMIT_ERROR)
