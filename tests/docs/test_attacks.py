"""docs/attacks.md names every attack there is a test for, and no other."""

import re
from pathlib import Path

from tests.attacks.report import attacks, page

ROOT = Path(__file__).parents[2]


def test_every_attack_in_the_table_has_a_test_and_every_test_stands_in_the_table() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/attacks.md").read_text("utf-8")))
    files = list((ROOT / "tests/attacks").glob("test_*.py"))
    tests = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)}
    assert named - tests == set()
    assert tests - named - {"test_door_still_serves_after_all_that"} == set()


def test_page_on_safety_was_written_from_a_run_of_these_very_attacks_and_all_held() -> None:
    rows = [row.split(" | ") for row in (ROOT / "docs/safety.md").read_text("utf-8").splitlines() if row[:3] == "| A"]
    assert page({test: "held" for row in attacks() for test in row.tests}) == (ROOT / "docs/safety.md").read_text(
        "utf-8"
    )
    cases = {row[0].strip("| ") for row in rows}
    wanted = (*range(31, 40), *range(41, 46), *range(53, 58), 5, 7, 8, 9, 15, 16)
    assert {f"A{number:02}" for number in wanted} <= cases
