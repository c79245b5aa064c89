"""What whoever approves a changed governance is shown."""

from carcloud.safety.governance.differences import LIMIT_LINES, differences
from carcloud.safety.governance.policy import Policy, parse

HEAD = "name: a\npurposes:\n  run: {basis: contract, why: Running.}\n"
PATHS = ["Vehicle.Speed", "Vehicle.Name", "Vehicle.Gear"]


def law(*rules: str, head: str = HEAD) -> Policy:
    listed = "".join(f"\n  - {{{rule}}}" for rule in rules) or " []"
    return parse(f"{head}rules:{listed}\n", "file")


def test_what_is_kept_more_exactly_longer_or_at_all_is_said_and_what_stays_is_not() -> None:
    before = law(
        "paths: [Vehicle.Speed], class: personal, purposes: [run], exactness: 5, days: 30, car: pseudonym",
        "paths: [Vehicle.Gear], class: operational, purposes: [run]",
    )
    after = law(
        "paths: [Vehicle.Speed], class: personal, purposes: [run], time: 60",
        "paths: [Vehicle.Name], class: sensitive, purposes: [run], cell: 8",
        "paths: [Vehicle.Gear], class: operational, purposes: [run]",
    )
    assert differences(before, after, PATHS) == [
        "Vehicle.Name: dropped → sensitive for run, in cells of resolution 8, kept",
        "Vehicle.Speed: personal for run, to 5, under a pseudonym, for 30 days → personal for run, every 60 s, kept",
    ]
    assert differences(after, after, PATHS) == []


def test_purposes_epoch_and_deadlines_are_said() -> None:
    rule = "paths: [Vehicle.Speed], class: personal, purposes: [run]"
    head = "name: a\nepoch: day\ndeadlines: {erasure: 14}\npurposes:\n  run: {basis: consent, why: Running.}\n"
    assert differences(law(rule), law(rule, head=head), PATHS) == [
        "purpose run: contract, Running. → consent, Running.",
        "pseudonyms last: month → day",
        "days to answer erasure: 30 → 14",
    ]


def test_very_many_are_counted() -> None:
    paths = [f"Vehicle.A{at}" for at in range(LIMIT_LINES + 5)]
    lines = differences(law(), law('paths: ["**"], class: public, purposes: [run]'), paths)
    assert len(lines) == LIMIT_LINES + 1
    assert lines[-1] == "and 5 more"
