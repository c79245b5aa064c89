"""A flow against the governance: what leaves, and how it is changed."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from carcloud.errors import InputError
from carcloud.lake.rows import SCHEMA
from carcloud.safety.flows.flow import parse as parse_flows
from carcloud.safety.flows.names import Names
from carcloud.safety.flows.plan import COLUMNS, Plan
from carcloud.safety.governance.policy import parse
from carcloud.vehicle.catalogue import Catalogue, Signal

CATALOGUE = Catalogue(
    [
        Signal("Vehicle.Speed", "float", "km/h", min=0, max=250),
        Signal("Vehicle.Gear", "int8"),
        Signal("Vehicle.Name", "string"),
        Signal("Vehicle.Place", "double", "degrees"),
        Signal("Vehicle.Charge", "float", "percent"),
        Signal("Vehicle.Vin", "string"),
        Signal("Vehicle.Unheard", "float"),
    ]
)
GOVERNANCE = parse(
    """
name: law
purposes:
  operation: {basis: contract, why: So it is.}
  research: {basis: consent, why: So it is.}
rules:
  - {paths: [Vehicle.Speed], class: personal, purposes: [operation, research], exactness: 5}
  - {paths: [Vehicle.Gear, Vehicle.Name], class: operational, purposes: [research]}
  - {paths: [Vehicle.Place], class: sensitive, purposes: [operation, research], exactness: 0.001}
  - {paths: [Vehicle.Charge], class: personal, purposes: [operation]}
  - {paths: [Vehicle.Vin], class: personal, keep: false}
""",
    "law",
)
FLOW = """
flows:
  out:
    to: eu
    purpose: research
    why: So it is.
    classes: [personal, operational]
    limits: {personal: 10}
    signals:
      - {paths: [Vehicle.Gear], exactness: 2}
      - paths: ["Vehicle.**"]
"""
AT = datetime(2026, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)


def plan_of(text: str = FLOW) -> Plan:
    return Plan(parse_flows(text, "flows").flows["out"], GOVERNANCE, CATALOGUE)


def rows_of(*rows: tuple[str, str, float | str]) -> pa.Table:
    numbered = [
        {
            "vehicle": vehicle,
            "signal": signal,
            "time": AT,
            "value": None if isinstance(value, str) else value,
            "text": value if isinstance(value, str) else None,
            "provenance": "measured",
            "chunk": 7,
            "day": "2026-12-31",
        }
        for vehicle, signal, value in rows
    ]
    return pa.Table.from_pylist(numbered, schema=SCHEMA).drop_columns(["day"])


def named(vehicle: str, year: int) -> str:
    return f"{vehicle}-{year}"


def test_only_what_flow_and_governance_both_let_out_leaves():
    plan = plan_of()
    assert {path: (signal.kind, signal.exactness) for path, signal in plan.signals.items()} == {
        "Vehicle.Gear": ("operational", 2),
        "Vehicle.Name": ("operational", None),
        "Vehicle.Speed": ("personal", 5),
    }
    assert plan.needs_consent


def test_rows_leave_rounded_masked_and_under_other_names():
    rows = rows_of(
        ("car", "Vehicle.Speed", 51.3), ("car", "Vehicle.Gear", 3.0), ("bus", "Vehicle.Name", "of WVWZZZ1JZXW000001")
    )
    sent = plan_of().sent(rows, named, 0)
    assert sent.column_names == list(COLUMNS)
    assert [tuple(row.values()) for row in sent.to_pylist()] == [
        ("bus-2026", "Vehicle.Name", AT, None, "of [VIN]", "measured"),
        ("car-2026", "Vehicle.Gear", AT, 3.0, None, "measured"),
        ("car-2026", "Vehicle.Speed", AT, 52.0, None, "measured"),
    ]


def test_times_are_cut_and_names_follow_the_year_of_the_calendar():
    rows = rows_of(("car", "Vehicle.Speed", 51.3))
    sent = plan_of(FLOW + "    time: 60\n").sent(rows, named, 8 * 3600 * 1_000_000).to_pylist()[0]
    assert (sent["vehicle"], sent["time"]) == ("car-2027", AT.replace(second=0, microsecond=0))


def test_no_rows_are_no_rows():
    assert plan_of().sent(rows_of(), named, 0).num_rows == 0


def test_a_flow_is_refused_that_asks_for_more_than_is_kept():
    with pytest.raises(InputError, match=r"Vehicle\.Speed finer"):
        plan_of(FLOW.replace("[Vehicle.Gear], exactness: 2", "[Vehicle.Speed], exactness: 4"))
    with pytest.raises(InputError, match="unknown purpose 'sale'"):
        plan_of(FLOW.replace("purpose: research", "purpose: sale"))
    with pytest.raises(InputError, match="cannot be rounded"):
        plan_of(FLOW.replace("[Vehicle.Gear]", "[Vehicle.Name]"))


def test_signals_leave_under_the_cars_own_id_only_where_that_tells_of_nobody():
    text = FLOW.replace("[personal, operational]", "[operational]").replace("    limits: {personal: 10}\n", "")
    sent = plan_of(text + "    pseudonym: false\n").sent(rows_of(("car", "Vehicle.Gear", 3.0)), named, 0)
    assert sent["vehicle"].to_pylist() == ["car"]


def test_names_differ_by_flow_and_year_stay_the_same_and_lead_back_only_here(tmp_path):
    names = Names(tmp_path)
    name = names.of("out", 2026, "car")
    assert len(name) == 32
    assert Names(tmp_path).of("out", 2026, "car") == name
    assert len({name, names.of("out", 2027, "car"), names.of("other", 2026, "car"), names.of("out", 2026, "bus")}) == 4
    assert names.vehicles("out", range(2020, 2030), {name, "f" * 32}, ["car", "bus"]) == {"car"}
    assert names.vehicles("other", range(2027, 2030), {name}, ["car", "bus"]) == set()
    assert names.persons(2026, ["car"]) != names.persons(2027, ["car"])
    assert not (tmp_path / "flows" / "flow-other-2028.key").exists()


HIDING = parse(
    """
name: hiding
purposes:
  research: {basis: consent, why: So it is.}
rules:
  - {paths: [Vehicle.Here.Latitude, Vehicle.Here.Longitude], class: personal, purposes: [research], cell: 7, time: 60}
  - {paths: [Vehicle.Gear], class: personal, purposes: [research], car: pseudonym, days: 3}
""",
    "hiding",
)
PLACES = Catalogue(
    [*(Signal(f"Vehicle.Here.{half}", "double") for half in ("Latitude", "Longitude")), Signal("Vehicle.Gear", "int8")]
)


def test_what_is_kept_by_cells_leaves_on_a_grid_as_wide_and_times_are_cut_to_the_coarser_step() -> None:
    text = FLOW.replace("{paths: [Vehicle.Gear], exactness: 2}", "paths: [Vehicle.Gear]")
    plan = Plan(parse_flows(f"{text}    time: 10\n", "flows").flows["out"], HIDING, PLACES)
    assert plan.signals["Vehicle.Here.Latitude"].exactness == 0.025  # a cell is some 2.8 km wide
    assert plan.time_s == 60
    sent = plan.sent(rows_of(("a", "Vehicle.Here.Latitude", 48.77), ("a", "Vehicle.Gear", 2.0)), named, 0)
    assert sent["value"].to_pylist() == pytest.approx([2.0, 48.7625])
    assert [at.second for at in sent["time"].to_pylist()] == [50, 0]
    fine = text.replace("paths: [Vehicle.Gear]", "{paths: [Vehicle.Here.Latitude], exactness: 0.001}")
    with pytest.raises(InputError, match="finer than the governance keeps it"):
        Plan(parse_flows(fine, "flows").flows["out"], HIDING, PLACES)
