"""The flows file: what it may say, and what it may not."""

from datetime import UTC, date, datetime

import pytest

from carcloud.errors import InputError
from carcloud.safety.flows.flow import NOTHING, parse

GOOD = """
calendar: "+08:00"
limits: {personal: 1000000}
flows:
  research-eu:
    to: eu
    purpose: research
    why: Driving functions are developed there.
    classes: [personal, operational]
    signals:
      - {paths: [Vehicle.Speed], exactness: 10}
      - paths: ["Vehicle.Powertrain.**"]
    limits: {personal: 10000}
    time: 60
    until: 2027-12-31
"""


def test_flow_is_read_as_it_is_written():
    flows = parse(GOOD, "flows.yaml")
    flow = flows.flows["research-eu"]
    assert (flow.to, flow.purpose, flow.classes) == ("eu", "research", ("personal", "operational"))
    assert [(part.paths, part.exactness) for part in flow.parts] == [
        (("Vehicle.Speed",), 10.0),
        (("Vehicle.Powertrain.**",), None),
    ]
    assert (flow.pseudonym, flow.time_s, flow.until, flow.stop_at) == (True, 60, date(2027, 12, 31), 0.9)
    assert (flow.bar("personal"), flow.bar("operational")) == (9000, None)
    assert (flows.bar("personal"), flows.bar("sensitive")) == (900_000, None)


def test_years_and_days_begin_in_the_calendar_of_the_file():
    flows = parse(GOOD, "flows.yaml")
    flow = flows.flows["research-eu"]
    late = datetime(2027, 12, 31, 15, 59, 59, tzinfo=UTC)
    assert (flows.year(late), flows.ended(flow, late)) == (2027, False)
    new = datetime(2027, 12, 31, 16, tzinfo=UTC)
    assert (flows.year(new), flows.ended(flow, new)) == (2028, True)
    assert NOTHING.year(new) == 2027


def test_layout_does_not_change_the_hash_and_meaning_does():
    same = GOOD.replace("[Vehicle.Speed]", '["Vehicle.Speed"]') + "# a remark\n"
    assert parse(same, "a").hash == parse(GOOD, "b").hash
    for change in (("60", "61"), ("+08:00", "+00:00"), ("10000}", "10001}"), ("to: eu", "to: us"), ("-31", "-30")):
        assert parse(GOOD.replace(*change), "c").hash != parse(GOOD, "b").hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("to: eu", "to: [eu]"), "to which zone"),
        (("    purpose: research\n", ""), "no purpose"),
        (("    why: Driving functions are developed there.\n", ""), "does not say why"),
        (("[personal, operational]", "[personal, operational, secret]"), "class 'secret'"),
        (("[personal, operational]", "[personal, sensitive]"), "sensitive data without a limit"),
        (("[personal, operational]", "[personal, important]"), "important data without a limit"),
        (("[personal, operational]", "[]"), "must name classes"),
        (("limits: {personal: 10000}", "limits: {personal: 10000, sensitive: 1}"), "limits sensitive data"),
        (("limits: {personal: 10000}", "limits: {personal: 0}"), "a limit of personal"),
        (("limits: {personal: 10000}", "limits: {personal: 1.5}"), "a limit of personal"),
        (("limits: {personal: 10000}", "limits: {personal: true}"), "a limit of personal"),
        (("time: 60", "pseudonym: false"), "would tell whose"),
        (("time: 60", "stop_at: 1.01"), "stop_at"),
        (("time: 60", "stop_at: 0"), "stop_at"),
        (("time: 60", "time: -1"), "no number of seconds"),
        (("time: 60", "tine: 60"), "unknown keys tine"),
        (("exactness: 10", "exactness: 0"), "exactness"),
        (("[Vehicle.Speed]", "['Vehicle.Speed; DROP']"), "a path that is none"),
        (("2027-12-31", "soon"), "no day"),
        (('"+08:00"', "+10:00"), "no offset"),
        (('"+08:00"', '"+15:00"'), "no offset"),
        (("research-eu:", "Research EU:"), "no proper name"),
        (("flows:\n", "flow:\n"), "is no flows file"),
        (("    to: eu\n", "    to: eu\n    to: us\n"), "twice"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(change, said):
    assert change[0] in GOOD
    with pytest.raises(InputError, match=r"flows\.yaml: ") as refused:
        parse(GOOD.replace(*change), "flows.yaml")
    assert said in refused.value.message
    assert refused.value.do


def test_important_data_leave_only_after_a_security_assessment_and_are_counted():
    text = GOOD.replace("[personal, operational]", "[important]").replace("{personal: 10000}", "{important: 5}")
    with pytest.raises(InputError, match="without a security assessment"):
        parse(text, "flows.yaml")
    flow = parse(text.replace("time: 60", "assessment: 2026-0815"), "flows.yaml")
    assert flow.flows["research-eu"].bar("important") == 4


def test_a_stop_is_never_above_its_limit():
    one = parse(GOOD.replace("10000}", "10}").replace("time: 60", "stop_at: 1"), "flows.yaml")
    assert one.flows["research-eu"].bar("personal") == 10
    least = parse(GOOD.replace("10000}", "1}"), "flows.yaml")
    assert least.flows["research-eu"].bar("personal") == 0
