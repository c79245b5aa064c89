"""What whoever approves a changed governance is shown."""

import pytest

from carcloud.safety.governance.differences import LIMIT_LINES, differences
from carcloud.safety.governance.policy import Policy, parse

HEAD = (
    "name: a\npurposes:\n  run: {basis: contract, why: Running.}\n  know: {basis: consent, why: Knowing.}\n"
    "  also: {basis: contract, why: More.}\n"
)
PATHS = ["Vehicle.Speed", "Vehicle.Name", "Vehicle.Gear"]


def law(*rules: str, head: str = HEAD) -> Policy:
    listed = "".join(f"\n  - {{{rule}}}" for rule in rules) or " []"
    return parse(f"{head}rules:{listed}\n", "file")


def speed(more: str = "", purposes: str = "run") -> Policy:
    return law(f"paths: [Vehicle.Speed], class: personal, purposes: [{purposes}]{more}")


def test_what_protects_less_comes_first_then_what_deletes_and_what_stays_is_not_said() -> None:
    before = law(
        "paths: [Vehicle.Speed], class: personal, purposes: [run], exactness: 5, days: 30, car: pseudonym",
        "paths: [Vehicle.Gear], class: operational, purposes: [run]",
    )
    after = law(
        "paths: [Vehicle.Speed], class: personal, purposes: [run], exactness: 5, days: 3, car: pseudonym",
        "paths: [Vehicle.Name], class: sensitive, purposes: [run], cell: 8",
        "paths: [Vehicle.Gear], class: operational, purposes: [run]",
    )
    assert differences(before, after, PATHS) == [
        "Vehicle.Name: dropped → sensitive for run, in cells of resolution 8, kept (protects less)",
        "Vehicle.Speed: personal for run, to 5, under a pseudonym, for 30 days"
        " → personal for run, to 5, under a pseudonym, for 3 days (deletes rows that are kept)",
    ]
    assert differences(after, after, PATHS) == []


@pytest.mark.parametrize(
    ("was", "will"),
    [
        (speed(", exactness: 5"), speed(", exactness: 1")),
        (speed(", exactness: 5"), speed()),
        (speed(", cell: 7"), speed(", cell: 9")),
        (speed(", cell: 7"), speed()),
        (speed(", time: 60"), speed(", time: 1")),
        (speed(", days: 30"), speed(", days: 31")),
        (speed(", days: 30"), speed()),
        (speed(", car: pseudonym"), speed()),
        (speed(purposes="know"), speed(purposes="run")),
        (speed(), speed(purposes="run, also")),
        (law("paths: [Vehicle.Speed], class: personal, keep: false"), speed()),
        (law(), speed()),
    ],
)
def test_whatever_protects_less_is_marked_and_the_other_way_is_not(was: Policy, will: Policy) -> None:
    (line,) = differences(was, will, PATHS)
    assert line.endswith("(protects less)")
    assert not any("protects less" in line for line in differences(will, was, PATHS))


def test_days_on_a_signal_that_is_dropped_delete_what_is_kept_and_that_is_said() -> None:
    drop = "paths: [Vehicle.Speed], class: personal, keep: false"
    (line,) = differences(law(drop), law(f"{drop}, days: 1"), PATHS)
    assert line == "Vehicle.Speed: dropped → dropped, what is kept goes after 1 days (deletes rows that are kept)"
    (line,) = differences(speed(), law(f"{drop}, days: 1"), PATHS)
    assert line.endswith("(deletes rows that are kept)")


def test_purposes_name_about_epoch_and_deadlines_are_said() -> None:
    rule = "paths: [Vehicle.Speed], class: personal, purposes: [run]"
    head = (
        "name: b\nabout: Else.\nepoch: day\ndeadlines: {erasure: 14}\n"
        "purposes:\n  run: {basis: consent, why: Running.}\n"
        "  know: {basis: consent, why: Knowing.}\n  also: {basis: contract, why: More.}\n"
    )
    assert differences(law(rule), law(rule, head=head), PATHS) == [
        "purpose run: contract, Running. → consent, Running.",
        "name: a → b",
        "about: none → Else.",
        "pseudonyms last: month → day",
        "days to answer erasure: 30 → 14",
    ]


def test_files_that_differ_are_never_shown_as_the_same() -> None:
    one = law("paths: [Vehicle.Speed], class: personal, purposes: [run], why: So.")
    two = law("paths: [Vehicle.Speed], class: personal, purposes: [run], why: Else.")
    assert differences(one, two, PATHS) == ["Only words, or the order of rules, are different."]


def test_very_many_are_counted() -> None:
    paths = [f"Vehicle.A{at}" for at in range(LIMIT_LINES + 5)]
    lines = differences(law(), law('paths: ["**"], class: public, purposes: [run]'), paths)
    assert len(lines) == LIMIT_LINES + 1
    assert lines[-1] == "and 5 more"
