"""Flows against plain models: the meter is a set with a bar, and what leaves is never finer than what is kept."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.backends.records import Records
from carcloud.lake.leaving import BEGIN, page
from carcloud.safety.flows.flow import parse
from carcloud.safety.flows.meter import ExportStoppedError, Meter
from carcloud.safety.flows.names import Names
from carcloud.safety.flows.plan import Plan
from carcloud.safety.governance.policy import parse as parse_governance
from carcloud.safety.governance.table import Table
from carcloud.vehicle.catalogue import Catalogue, Signal

KINDS = ("personal", "sensitive")
LIMITS = {"one": {"personal": 5, "sensitive": 3}, "two": {"personal": 4, "sensitive": 9}}
TOGETHER = {"personal": 7}
FLOWS = parse(
    f"limits: {TOGETHER}\nstop_at: 1\nflows:".replace("'", "")
    + "".join(
        f"""
  {name}:
    {{to: eu, purpose: run, why: So it is., classes: [personal, sensitive], signals: [{{paths: ["**"]}}], stop_at: 1,
    limits: {{personal: {limits["personal"]}, sensitive: {limits["sensitive"]}}}}}"""
        for name, limits in LIMITS.items()
    ),
    "flows",
)
READS = st.lists(
    st.tuples(
        st.sampled_from(sorted(LIMITS)),
        st.dictionaries(st.sampled_from(KINDS), st.sets(st.integers(0, 11).map(str), min_size=1)),
        st.integers(0, 200),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(READS)
def test_the_meter_is_a_set_of_people_a_year_that_never_passes_its_bar(tmp_path_factory, reads):
    folder = tmp_path_factory.mktemp("meter")
    records, now = Records.open(f"sqlite:///{folder}/records.db"), [datetime(2026, 6, 1, tzinfo=UTC)]
    meter = Meter(records, Names(folder / "keys"), lambda: now[0])
    told: dict[tuple[int, str, str], set[str]] = {}
    for name, persons, days in reads:
        now[0] += timedelta(days=days)
        year = now[0].year
        after = {kind: told.get((year, name, kind), set()) | persons[kind] for kind in persons}
        both = {
            kind: set().union(after[kind], *(told.get((year, other, kind), set()) for other in LIMITS))
            for kind in persons
        }
        fits = all(len(after[kind]) <= LIMITS[name][kind] for kind in persons)
        fits &= all(len(both[kind]) <= TOGETHER.get(kind, 99) for kind in persons)
        try:
            meter.let_out(FLOWS, FLOWS.flows[name], persons, 1, "token:x", "default")
            assert fits
            told |= {(year, name, kind): people for kind, people in after.items()}
        except ExportStoppedError:
            assert not fits
        shown = {(reading.flow, reading.kind): reading.people for reading in meter.readings(FLOWS)}
        for flow in LIMITS:
            for kind in KINDS:
                assert shown[flow, kind] == len(told.get((year, flow, kind), set()))
    records.close()


NUMBERS = Catalogue(
    [Signal("A.Free", "double"), Signal("A.Bound", "float", min=0, max=250), Signal("A.Whole", "int16")]
)
KEPT = st.sampled_from([None, 1, 2, 3, 5, 10])
SENT = st.sampled_from([None, 1, 2, 3, 4, 7, 10, 50])
ROWS = st.lists(
    st.tuples(st.sampled_from(sorted(NUMBERS)), st.integers(0, 250).map(float) | st.floats(0, 250)), max_size=20
)


@settings(max_examples=200, deadline=None)
@given(KEPT, SENT, ROWS, st.sampled_from([0, 1, 60, 3600]))
def test_what_leaves_is_made_of_what_is_kept_today_and_is_no_finer_than_flow_and_governance(kept, sent, rows, time_s):
    rows = [(path, float(int(value)) if path == "A.Whole" else value) for path, value in rows]
    exactness = "" if kept is None else f", exactness: {kept}"
    governance = parse_governance(
        "name: law\npurposes: {run: {basis: contract, why: So it is.}}\n"
        f'rules: [{{paths: ["A.**"], class: personal, purposes: [run]{exactness}}}]',
        "law",
    )
    wanted = "" if sent is None or (kept or 0) > sent else f", exactness: {sent}"
    flow = parse(
        f"""
flows:
  out: {{to: eu, purpose: run, why: So it is., classes: [personal], signals: [{{paths: ["A.**"]{wanted}}}],
    limits: {{personal: 9}}, time: {time_s}}}""",
        "flows",
    ).flows["out"]
    step = max(kept or 0, sent if wanted and sent else 0)
    at = np.array([1_700_000_000_123_456 + number for number in range(len(rows))], "i8")
    table = pa.table(
        {
            "vehicle": pa.array(["car"] * len(rows), pa.string()),
            "signal": pa.array([path for path, _ in rows], pa.string()),
            "time": pa.array(at).cast(pa.timestamp("us", "UTC")),
            "value": pa.array([value for _, value in rows], pa.float64()),
            "text": pa.nulls(len(rows), pa.string()),
            "provenance": pa.array(["measured"] * len(rows), pa.string()),
        }
    )
    out = Plan(flow, governance, NUMBERS).sent(table, lambda car, year: f"{car}{year}", 0)
    assert sorted(out["signal"].to_pylist()) == sorted(path for path, _ in rows)
    times = np.asarray(out["time"].cast(pa.int64()))
    assert not time_s or not (times % (time_s * 1_000_000)).any()
    if step:
        values = {path: {value for other, value in rows if other == path} for path in NUMBERS}
        for path, inside in values.items():
            left = {
                value
                for other, value in zip(out["signal"].to_pylist(), out["value"].to_pylist(), strict=True)
                if other == path
            }
            assert len(left) <= len({np.floor(value / step) for value in inside})
    if kept:  # the lake keeps governed values: governing once more what leaves by them changes nothing
        law = Table(governance, NUMBERS)
        index = np.array([NUMBERS.index[path] for path, _ in rows], "i4")
        numbers = np.array([value for _, value in rows])
        governed = law.rounded(index, numbers)
        again = Plan(flow, governance, NUMBERS).sent(
            table.set_column(3, "value", pa.array(governed)), lambda car, year: f"{car}{year}", 0
        )
        if step == kept:
            assert np.allclose(np.sort(np.asarray(again["value"])), np.sort(governed))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 2)), max_size=30
    ),
    st.integers(8, 12),
)
def test_pages_divide_rows_without_loss_or_repetition(keys, limit):
    keys = sorted(set(keys))
    got, after, more = [], BEGIN, True
    while more:
        place = (after.chunk, after.vehicle, after.signal, after.time)
        asked = [key for key in keys if key > place][: limit + 1]
        columns = list(zip(*asked, strict=True)) or [[]] * 4
        rows = pa.table(
            {
                "vehicle": pa.array(columns[1], pa.string()),
                "signal": pa.array(columns[2], pa.string()),
                "time": pa.array(columns[3], pa.int64()).cast(pa.timestamp("us", "UTC")),
                "chunk": pa.array(columns[0], pa.int64()),
            }
        )
        rows, after, more = page(rows, limit, after)
        read = (rows["chunk"], rows["vehicle"], rows["signal"], rows["time"].cast(pa.int64()))
        got += zip(*(column.to_pylist() for column in read), strict=True)
    assert got == keys
