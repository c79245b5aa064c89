"""Plans as strangers write them: whatever a document holds, it is a plan or its problems are told."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.plans.documents import documents
from carcloud.vehicle.plans.plan import KEYS, check, parse
from carcloud.vehicle.plans.wanted import SAMPLINGS

CATALOGUE = Catalogue([Signal("Vehicle.Speed", "float", "km/h"), Signal("Vehicle.State", "string")])
NOW = datetime(2026, 11, 23, tzinfo=UTC)
WORDS = ["a", "research", "5 s", "5 MB", "1e9 s", "0.1 km/h", "-1 s", "٣ s", "9" * 400, "\ud800"]
TIMES = ["2027-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
CONDITIONS = ["Vehicle.Speed > 5 km/h", "Vehicle.Speed >", 'Vehicle.State = "a"', 'Vehicle.State = "\ud800"']
LIKELY = st.sampled_from([*WORDS, *TIMES, *CONDITIONS, "Vehicle.Speed", "Vehicle.State"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | LIKELY
ENTRY = LIKELY | st.dictionaries(st.sampled_from(["path", "odd", "\ud800", *SAMPLINGS]), SCALARS, max_size=3)
ANY = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LIKELY, inner, max_size=3))
DOCUMENT = st.fixed_dictionaries(
    {}, optional={key: SCALARS | (st.lists(ENTRY, max_size=3) if key == "signals" else ANY) for key in KEYS}
)


@given(DOCUMENT | ANY)
def test_every_document_is_a_plan_or_has_problems(document: object) -> None:
    plan, problems = check(document, CATALOGUE, {"research": "consent", "a": "a"}, lambda *_: None, NOW)
    assert (plan is None) == bool(problems)
    assert all(error.message and error.do for error in problems)
    assert json.dumps([(error.key, error.message, error.do) for error in problems], ensure_ascii=False).encode()
    if plan is not None:
        assert parse(json.loads(plan.canonical()), CATALOGUE) == plan


@given(st.text(max_size=60) | st.lists(LIKELY, max_size=5).map("\n---\n".join))
def test_every_text_is_read_or_refused(text: str) -> None:
    try:
        found = documents(text)
    except InputError:
        return
    assert found
