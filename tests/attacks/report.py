"""Writes docs/safety.md from a run of the attacks: `make safety`, or `python -m tests.attacks.report RESULTS.xml`.

Which attacks there are, and what must happen, stands in docs/attacks.md; what happened, in the run's results.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
PAGE, TABLE = ROOT / "docs/safety.md", ROOT / "docs/attacks.md"
CASE = re.compile(r"A\d\d")
HEAD = """# Safety: what was tried, and what happened

Written by `make safety` from a run of `tests/attacks` against running zones; [attacks.md](attacks.md) has the attacks
without a number too. *held*: every test of the row saw what it should. A row that did not hold, or whose tests were
left out, says so.

| case | attack | must happen | seen | tests |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Attack:
    """A row of docs/attacks.md that has a number."""

    case: str
    attack: str
    expected: str
    tests: tuple[str, ...]


def attacks() -> Iterator[Attack]:
    """Yield the numbered attacks, one for each number a row names."""
    for line in TABLE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and CASE.match(cells[0]):
            for case in CASE.findall(cells[0]):
                told = CASE.sub("", cells[0], count=1).lstrip(": ")
                yield Attack(case, told, cells[1], tuple(re.findall(r"`(test_\w+)`", cells[2])))


def outcomes(results: Path) -> dict[str, str]:
    """Return what became of each test, by its name: held, did not hold, left out. Many of one name are one."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        name = case.attrib["name"].split("[")[0]
        bad, skipped = (case.find(kind) is not None for kind in ("failure", "skipped"))
        seen = "did not hold" if bad or case.find("error") is not None else "left out" if skipped else "held"
        before = found.get(name, seen)
        found[name] = seen if before == "held" else before
    return found


def page(seen: Mapping[str, str]) -> str:
    """Return the page."""
    rows = sorted(attacks(), key=lambda row: row.case)
    lines = []
    for row in rows:
        all_ = {seen.get(test, "not run") for test in row.tests}
        said = "held" if all_ == {"held"} else ", ".join(sorted(all_ - {"held"}))
        named = ", ".join(f"`{test}`" for test in row.tests)
        lines.append(f"| {row.case} | {row.attack} | {row.expected} | {said} | {named} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(outcomes(Path(sys.argv[1]))), "utf-8")
