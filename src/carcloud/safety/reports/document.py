"""A report: sections with sentences and tables, written as Markdown for people or JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Section:
    """A heading, sentences below it, and a table whose first row is its head."""

    title: str
    lines: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Document:
    """A report. `note`: what it is not."""

    title: str
    note: str
    sections: Sequence[Section] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the report as Markdown; what comes from a configuration cannot break out of its place."""
        parts = [f"# {_plain(self.title)}", f"> {_plain(self.note)}"]
        for section in self.sections:
            parts.append(f"## {_plain(section.title)}")
            parts.extend(_plain(line) for line in section.lines)
            if section.rows:
                parts.append(_table(section.rows))
        return "\n\n".join(parts) + "\n"

    def json(self) -> dict[str, Any]:
        """Return the report as plain data; a table is a list of rows, each by the words of its head."""
        return {
            "title": self.title,
            "note": self.note,
            "sections": [
                {
                    "title": section.title,
                    "lines": list(section.lines),
                    "rows": [dict(zip(section.rows[0], row, strict=True)) for row in section.rows[1:]],
                }
                for section in self.sections
            ],
        }


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _plain(text: str) -> str:
    """Return a text on one line, with nothing in it that Markdown would take for a tag or a link."""
    one = " ".join(text.split())
    for sign in ("\\", "<", "[", "`"):
        one = one.replace(sign, "\\" + sign)
    return one
