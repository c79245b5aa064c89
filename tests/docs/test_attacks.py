"""docs/attacks.md names every attack there is a test for, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_attack_in_the_table_has_a_test_and_every_test_stands_in_the_table() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/attacks.md").read_text("utf-8")))
    files = list((ROOT / "tests/attacks").glob("test_*.py"))
    tests = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)}
    assert named - tests == set()
    assert tests - named - {"test_door_still_serves_after_all_that"} == set()
