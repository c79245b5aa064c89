"""Governance in the stream against a plain model: what is kept, for whom, and how exactly."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.safety.governance.policy import parse
from carcloud.safety.governance.table import Table
from carcloud.stream.draft import draft
from carcloud.stream.guards import Terms
from carcloud.stream.intake import Intake
from carcloud.stream.marks import Marks
from carcloud.stream.settings import FloodLimits, TimeLimits
from tests.stream import CAR, CATALOGUE, NOW_US, OTHER, TABLE, batch, up

PATHS = [path for path, unit in TABLE.signals if path in CATALOGUE and unit == CATALOGUE[path].unit]
NUMBERS = {"Vehicle.Speed", "Vehicle.Gear", "Vehicle.Free"}
STEPS = (None, 1, 2, 5, 10)
PURPOSES = {"run": "contract", "know": "consent", "sell": "consent"}


@st.composite
def laws(draw):
    """Return (policy, the plain rule of each path): path → None, or (purposes, step)."""
    lines = ["name: law", "purposes:"]
    lines += [f"  {name}: {{basis: {basis}, why: So it is.}}" for name, basis in PURPOSES.items()]
    lines += ["rules:"]
    plain = {}
    for path in draw(st.permutations(PATHS)):
        kind = draw(st.sampled_from(["keep", "keep", "drop", "unnamed"]))
        if kind == "unnamed":
            continue
        if kind == "drop":
            lines.append(f"  - {{paths: [{path}], class: personal, keep: false}}")
            continue
        used = draw(st.lists(st.sampled_from(sorted(PURPOSES)), min_size=1, max_size=3, unique=True))
        step = draw(st.sampled_from(STEPS)) if path in NUMBERS else None
        plain[path] = (used, step)
        rounding = "" if step is None else f", exactness: {step}"
        lines.append(f"  - {{paths: [{path}], class: personal, purposes: [{', '.join(used)}]{rounding}}}")
    if lines[-1] == "rules:":
        lines[-1] = "rules: []"
    return parse("\n".join(lines), "law"), plain


def value_of(path):
    if path == "Vehicle.Name":
        return st.sampled_from(["", "home", "car WVWZZZ1JZXW000001 here"])
    fits = {"Vehicle.Mode": ["ECO", "SPORT"], "Vehicle.IsOn": [0.0, 1.0], "Vehicle.Level": [1.0, 2.0, 4.0]}
    if path in fits:
        return st.sampled_from(fits[path])
    if path == "Vehicle.Gear":
        return st.integers(-1, 8).map(float)
    return st.floats(0, 250) if path == "Vehicle.Speed" else st.floats(-1e6, 1e6)


SENT = st.lists(
    st.sampled_from(PATHS).flatmap(lambda path: st.tuples(st.just(path), st.integers(0, 9), value_of(path))),
    max_size=15,
)


@settings(max_examples=200)
@given(laws(), st.dictionaries(st.sampled_from([CAR, OTHER]), st.sets(st.sampled_from(sorted(PURPOSES)))), SENT, SENT)
def test_the_stream_keeps_what_the_governance_and_the_consents_allow_and_no_finer(law, agreed, first, second):
    policy, plain = law
    table = Table(policy, CATALOGUE)
    intake = Intake(CATALOGUE, Marks(), {TABLE.hash: TABLE}, lambda _: "default", FloodLimits())
    expected, lost = [], {"not_permitted": 0, "no_consent": 0}
    for vehicle, rows in ((CAR, first), (OTHER, second)):
        intake.take(up(vehicle), batch([(path, NOW_US + at, value) for path, at, value in rows]), NOW_US)
        for path, at, value in rows:
            rule = plain.get(path)
            if rule is None:
                lost["not_permitted"] += 1
            elif "run" not in rule[0] and not set(rule[0]) & agreed.get(vehicle, set()):
                lost["no_consent"] += 1
            else:
                expected.append((vehicle, path, NOW_US + at, value, rule[1]))
    terms = Terms(CATALOGUE, TimeLimits(), table)
    made = draft(intake.arrivals, terms, {vehicle: table.bits(purposes) for vehicle, purposes in agreed.items()})
    assert {cause: int(counts.sum()) for cause, counts in made.refused.items()} == {
        cause: count for cause, count in lost.items() if count
    }
    columns = (made.rows[name].to_pylist() for name in ("vehicle", "signal", "value", "text"))
    times = made.rows["time"].cast("int64").to_pylist()
    found = [
        (vehicle, path, at, text if value is None else value)
        for at, (vehicle, path, value, text) in zip(times, zip(*columns, strict=True), strict=True)
    ]
    modelled = [(vehicle, path, at, coarse(path, value, step)) for vehicle, path, at, value, step in expected]
    assert sorted(map(repr, found)) == sorted(map(repr, modelled))
    changed = sum(step is not None or "WVW" in str(value) for *_, value, step in expected)
    assert made.transformed == changed


def coarse(path, value, step):
    if isinstance(value, str):
        return value.replace("WVWZZZ1JZXW000001", "[VIN]")
    if step is None:
        return value
    low = math.floor(value / step) * step
    middle = low + (step - 1) / 2 if step % 2 else low + step / 2
    return float(min(max(middle, CATALOGUE[path].low), CATALOGUE[path].high))


@settings(max_examples=200)
@given(st.floats(-90, 90), st.sampled_from([0.001, 0.01, 0.5]))
def test_a_rounded_place_says_no_more_than_its_step(latitude, step):
    rule = f"{{paths: [Vehicle.Free], class: personal, purposes: [run], exactness: {step}}}"
    text = f"name: a\npurposes: {{run: {{basis: contract, why: x}}}}\nrules: [{rule}]"
    table = Table(parse(text, "a"), CATALOGUE)
    signal = np.array([CATALOGUE.index["Vehicle.Free"]], np.int32)
    shown = table.rounded(signal, np.array([latitude]))
    assert abs(shown[0] - latitude) <= step / 2 * (1 + 1e-6)
    assert table.rounded(signal, shown)[0] == shown[0]
