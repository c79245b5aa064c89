"""What a catalogue takes, what it refuses, and what stays true when it changes."""

import json
import math
import time
from importlib.resources import files

import numpy as np
import pytest

from carcloud.errors import ConflictError, InputError
from carcloud.vehicle.catalogue import LIMIT_SIGNALS, Catalogue, Signal, parse

SPEED = "signals:\n  Vehicle.Speed: {type: float, unit: km/h}\n"


def one(path="Vehicle.X", **fields) -> Catalogue:
    return Catalogue([Signal(path, fields.pop("type", "float"), **fields)])


def test_core_profile_loads_and_knows_speed():
    core = parse((files("carcloud.vehicle") / "core.yaml").read_bytes(), "core.yaml")
    assert core["Vehicle.Speed"] == Signal("Vehicle.Speed", "float", "km/h", description="How fast the car goes.")
    assert 110 <= len(core) <= 135
    assert all(0 < len(signal.description) <= 80 for signal in core.values())


def test_columns_line_up_with_the_index():
    catalogue = parse(
        """signals:
  V.Flag: {type: boolean}
  V.Small: {type: uint8, max: 100}
  V.Word: {type: string, allowed: [A, "ON"]}
  V.List: {type: "string[]", allowed: [A]}
  V.Long: {type: int64}
  V.Real: {type: double, min: -1.5}
""",
        "f",
    )
    assert catalogue.index == {"V.Flag": 0, "V.Small": 1, "V.Word": 2, "V.List": 3, "V.Long": 4, "V.Real": 5}
    assert catalogue.low.tolist() == [0, 0, -math.inf, -math.inf, -(2.0**53), -1.5]
    assert catalogue.high.tolist() == [1, 100, math.inf, math.inf, 2.0**53, math.inf]
    assert catalogue.is_bool.tolist() == [True, False, False, False, False, False]
    assert catalogue.is_text.tolist() == [False, False, True, True, False, False]
    assert catalogue.is_integer.tolist() == [False, True, False, False, True, False]
    assert catalogue.allowed == {2: {"A", "ON"}}
    with pytest.raises(ValueError):
        catalogue.low[0] = 5


def test_the_three_forms_say_the_same():
    leaf = {"datatype": "float", "type": "sensor", "unit": "km/h", "comment": "ignored", "uuid": "ignored"}
    tree = {"Vehicle": {"type": "branch", "description": "", "children": {"Speed": leaf}}}
    own = parse(SPEED, "own")
    assert own.hash == parse(json.dumps(tree), "tree").hash == parse({"Vehicle.Speed": leaf}, "flat").hash
    assert parse(own.dump(), "dump").hash == own.hash


def test_dump_keeps_zero_and_leaves_out_what_was_not_given():
    entry = one(min=0, max=0.0, retired=True)["Vehicle.X"].entry()
    assert entry == {"type": "float", "kind": "sensor", "min": 0, "max": 0.0, "retired": True}
    assert parse(one(min=0, retired=True).dump(), "d")["Vehicle.X"].retired


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "No signals"),
        ("signals: []", "one entry"),
        ("signals: {}\nmore: 1", "one entry"),
        ("{", "Not valid JSON or YAML"),
        ("signals: {A.B: {type: float}", "Not valid JSON or YAML"),
        (b"\xff\xfe", "not UTF-8"),
        ("signals:\n  A.B: float", "A.B is not described"),
        ("signals:\n  A.B: {type: float, uint: m}", "unknown keys uint"),
        ("signals:\n  A.B: {type: real}", "A.B: unknown type 'real'"),
        ("signals:\n  A.B: {unit: m}", "A.B: unknown type"),
        ("signals:\n  A.B: {type: float, kind: button}", "unknown kind 'button'"),
        ("signals:\n  A.B: {type: float, min: 3, max: 2}", "no float lies between min 3 and max 2"),
        ("signals:\n  A.B: {type: uint8, min: 256}", "no uint8 lies between"),
        ("signals:\n  A.B: {type: float, min: .nan}", "min that is no number"),
        ("signals:\n  A.B: {type: float, max: '3'}", "max that is no number"),
        ("signals:\n  A.B: {type: float, unit: 3}", "unit that is no text"),
        ("signals:\n  A.B: {type: string, allowed: [OFF, LOW]}", "quote words such as 'ON' and 'OFF'"),
        ("signals:\n  A.B: {type: float, retired: 1}", "neither true nor false"),
        ("signals:\n  A.B: {type: float}\n  A.B: {type: float}", "'A.B' is there twice"),
        ('{"A.B": {"datatype": "float"}, "A.B": {"datatype": "float"}}', "'A.B' is there twice"),
        ("signals:\n  A: {type: float}", "'A' is no signal path"),
        ("signals:\n  A..B: {type: float}", "is no signal path"),
        ("signals:\n  A.B c: {type: float}", "is no signal path"),
        ("signals:\n  12: {type: float}", "12 is no text"),
        ("signals:\n  A.B: {type: float}\n  A.B.C: {type: float}", "A.B.C stands below A.B"),
        ("signals:\n  A.B: &x {type: float}\n  A.C: *x", "Aliases"),
        ("signals:\n  A.B: {type: !!timestamp x}", "tags"),
        ("signals:\n  [1, [2]]: {type: float}", "Not valid JSON or YAML"),
        ("signals:\n  A.B: {type: float, description: 2024-13-45}", "Not valid JSON or YAML"),
        ('{"V": {"type": "branch", "children": 3}}', "children that are no object"),
        ('{"V": {"type": "branch", "instances": ["L"], "children": {}}}', "Export the tree expanded"),
        ('{"V": {"type": "struct", "children": {}}}', "is a struct"),
        ('{"V": {"type": "sensor"}}', "V has no datatype"),
        ('{"V": {"children": {"S": {"datatype": "float"}}}}', "V.S: unknown kind"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
    ],
)
def test_bad_catalogue_is_refused_naming_file_and_place(text, says):
    with pytest.raises(InputError) as error:
        parse(text, "my.yaml")
    assert str(error.value).startswith("my.yaml: ")
    assert says in str(error.value)
    assert error.value.do


def test_absurd_sizes_are_refused():
    deep = {"datatype": "float", "type": "sensor"}
    for _ in range(30):
        deep = {"type": "branch", "children": {"A": deep}}
    with pytest.raises(InputError, match="too deep"):
        parse({"V": deep}, "f")
    with pytest.raises(InputError, match="is no signal path"):
        one("V." + "x" * 300)
    with pytest.raises(InputError, match="at most 20000"):
        Catalogue(Signal(f"V.S{n}", "float") for n in range(LIMIT_SIGNALS + 1))
    with pytest.raises(InputError, match="at most"):
        parse(b" " * (33 * 1024 * 1024), "f")


def test_the_largest_catalogue_loads_in_seconds():
    started = time.perf_counter()
    big = Catalogue(Signal(f"V.S{n}", "float") for n in range(LIMIT_SIGNALS))
    assert parse(big.dump(), "big").hash == big.hash
    assert time.perf_counter() - started < 10


def test_overlay_adds_signals_and_narrows_ranges():
    base = Catalogue(
        [Signal("V.A", "uint8", "percent", 0, 100, description="A"), Signal("V.W", "string", allowed=("X", "Y"))]
    )
    overlay = Catalogue(
        [
            Signal("V.A", "uint8", "percent", max=90),
            Signal("V.W", "string", allowed=("X",)),
            Signal("V.Maker.Own", "float", "kW"),
        ]
    )
    both = base.overlaid(overlay)
    assert (both["V.A"].min, both["V.A"].max, both["V.A"].description) == (0, 90, "A")
    assert both["V.W"].allowed == ("X",)
    assert list(both) == ["V.A", "V.W", "V.Maker.Own"]
    assert base["V.A"].max == 100


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (Signal("V.A", "uint16", "percent"), "V.A is uint8 in percent; it cannot become uint16 in percent"),
        (Signal("V.A", "uint8", "m"), "cannot become uint8 in m"),
        (Signal("V.A", "uint8"), "cannot become uint8 without a unit"),
        (Signal("V.A", "uint8", "percent", max=101), "not widen"),
        (Signal("V.A", "uint8", "percent", min=-1), "not widen"),
        (Signal("V.W", "string", allowed=("X", "Z")), "not widen"),
    ],
)
def test_overlay_that_bends_a_known_signal_is_refused(changed, says):
    base = Catalogue([Signal("V.A", "uint8", "percent", 0, 100), Signal("V.W", "string", allowed=("X", "Y"))])
    with pytest.raises(ConflictError, match=says) as error:
        base.overlaid(Catalogue([changed]))
    assert "new path" in error.value.do


def test_overlay_below_a_leaf_is_refused():
    with pytest.raises(InputError, match=r"stands below V\.A"):
        one("V.A").overlaid(one("V.A.B"))


def test_signal_left_out_of_a_successor_is_retired_and_still_accepted():
    old = Catalogue([Signal("V.A", "uint8", min=2, max=9), Signal("V.B", "float", "m")])
    new = one("V.B", unit="m", max=5, description="new words").succeed(old)
    assert new["V.A"] == Signal("V.A", "uint8", min=2, max=9, retired=True)
    assert (new.low[new.index["V.A"]], new.high[new.index["V.A"]]) == (2, 9)
    assert (new["V.B"].max, new["V.B"].retired) == (5, False)


def test_retired_signal_may_come_back_with_its_old_meaning_only():
    later = one("V.B").succeed(one("V.A", unit="m"))
    assert not one("V.A", unit="m").succeed(later)["V.A"].retired
    with pytest.raises(ConflictError, match=r"V\.A"):
        one("V.A", unit="km").succeed(later)


@pytest.mark.parametrize("changed", [Signal("V.A", "double", "m"), Signal("V.A", "float", "km")])
def test_successor_with_another_meaning_is_refused(changed):
    with pytest.raises(ConflictError, match=r"V\.A is float in m") as error:
        Catalogue([changed]).succeed(one("V.A", unit="m"))
    assert "new path" in error.value.do


def test_a_branch_may_grow_where_a_retired_leaf_stood():
    new = one("V.A.B").succeed(one("V.A"))
    assert new["V.A"].retired
    assert "V.A.B" in parse(new.dump(), "kept")


def test_numbers_may_list_what_they_allow():
    catalogue = parse('{"V.N": {"datatype": "uint8", "type": "sensor", "allowed": [1, 2]}}', "f")
    assert catalogue.allowed == {0: {1, 2}}
    assert np.float64(2.0) in catalogue.allowed[0]
