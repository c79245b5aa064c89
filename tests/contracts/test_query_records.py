"""Saved queries in the records, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from carcloud.backends.records import Records
from carcloud.backends.records import queries as table
from carcloud.backends.records.queries import SavedQuery
from carcloud.errors import ConflictError, MissingError

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LATE = SavedQuery(
    "default",
    "late-braking",
    "Lead.TTC < 2 s",
    "Somebody brakes late.",
    ("criticality.headway",),
    "Lead.Track",
    "a" * 20,
    "person:emma",
    NOW,
)


def test_query_is_saved_changed_and_dropped(records: Records) -> None:
    records.queries.save(LATE)
    assert records.queries.get("default", "late-braking") == LATE
    changed = replace(LATE, text="Lead.TTC < 3 s", tags=(), digest="b" * 20)
    records.queries.save(changed)
    assert records.queries.listed("default") == [changed]
    records.queries.drop("default", "late-braking", "person:emma", NOW)
    assert records.queries.listed("default") == []
    with pytest.raises(MissingError):
        records.queries.drop("default", "late-braking", "person:emma", NOW)


def test_queries_are_a_tenants_own(records: Records) -> None:
    records.queries.save(LATE)
    assert records.queries.listed("other") == []
    with pytest.raises(MissingError):
        records.queries.get("other", "late-braking")


def test_only_so_many_are_saved(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LIMIT_QUERIES", 1)
    records.queries.save(LATE)
    records.queries.save(replace(LATE, about="Changed, not one more."))
    with pytest.raises(ConflictError):
        records.queries.save(replace(LATE, name="another"))
