"""The table of units and signals in docs/gbt32960.md is what the mapping says.

Run this file to print the table anew.
"""

from pathlib import Path

from carcloud.vehicle.document import load
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.rules import FILE
from carcloud.vehicle.gbt32960.units import UNITS

PAGE = Path(__file__).parents[2] / "docs/gbt32960.md"


def table() -> list[str]:
    codes = {
        edition: {name: f"{code:02X}" for code, (name, _) in known.items()} | {"oem": "80–FE"}
        for edition, known in UNITS.items()
    }
    lines = ["| unit | 2016 | 2025 | field | signals |", "|---|---|---|---|---|"]
    for unit, fields in load(FILE.read_text()).items():
        head = f"| {unit} | {codes[Edition.E2016].get(unit, '')} | {codes[Edition.E2025].get(unit, '')}"
        for field, given in fields.items():
            lines.append(
                f"{head} | {field} | {', '.join(map(signal, given if isinstance(given, list) else [given]))} |"
            )
            head = "| | |"
    return lines


def signal(rule: dict[str, object]) -> str:
    notes = [f"times {rule['factor']}"] if "factor" in rule else []
    notes += [f"number {rule['number']}"] if "number" in rule else []
    notes += ["way back only"] if "only" in rule else []
    return f"`{str(rule['signal']).format('{n}')}`" + (f" ({', '.join(notes)})" if notes else "")


def test_the_table_is_what_the_mapping_says():
    assert "\n".join(table()) in PAGE.read_text(), f"run {Path(__file__).name} and put what it prints into the page"


if __name__ == "__main__":
    print("\n".join(table()))
