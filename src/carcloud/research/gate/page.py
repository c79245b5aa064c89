"""A verdict as a page for people: one file, read anywhere, light or dark.

Rules:
* Nothing is loaded from elsewhere and nothing runs in it; whatever comes from outside is escaped.
* It says what the document says, and the document's digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from carcloud.research.gate.verdict import Verdict

LISTED = 200
"""Scenarios that the page names; the document may name more."""

_NAMES = {
    "collided": "Collisions",
    "at_fault": "Collisions of its fault",
    "off_road": "Left the road",
    "near": "Came near a collision",
    "fault": "Faults of the planner",
    "most_deceleration_mps2": "Hardest braking",
    "most_acceleration_mps2": "Hardest push",
    "most_lateral_acceleration_mps2": "Hardest to the side",
    "most_jerk_mps3": "Hardest jerk",
    "most_yaw_rate_radps": "Fastest turning",
    "uncomfortable_share": "Uncomfortable time",
    "tet_s": "Time with a short TTC",
    "tit_s2": "Time and how short",
    "progress_m": "Way driven",
}


def page_of(verdict: Verdict) -> str:
    """Return a verdict as HTML."""
    said = verdict.said
    word, colour = ("passed", "good") if verdict.passed else ("stopped", "bad")
    before, after = said["baseline"], said["candidate"]
    lead = f"{escape(after['planner'])} against {escape(before['planner'])}, {said['scenarios']['count']} scenarios"
    parts = [
        f'<h1>The gate: <span class="{colour}">{word}</span></h1><p>{lead}</p>',
        _section("Checks", _checks(said["checks"])),
        _section("How often", _rates(said["rates"])),
        _section("How much", _ratios(said["ratios"])),
        _newly("Newly collided", said["newly"]["collided"]),
        _newly("Newly faulty", said["newly"]["fault"]),
        _competence(said["competence"]),
        _section("What was judged", _facts(said, verdict.digest)),
    ]
    shell = Template(files("carcloud.research.gate").joinpath("page.html").read_text("utf-8"))
    return shell.substitute(title=f"The gate: {word}", body="".join(parts))


def _checks(checks: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            f'<span class="{"good" if one["passed"] else "bad"}">{"passed" if one["passed"] else "failed"}</span>',
            escape(_check_name(one["name"])),
            _number(one["found"]),
            _number(one["limit"]),
        )
        for one in checks
    ]
    return _table(("", "Check", "#Found", "#Limit"), rows)


def _check_name(name: str) -> str:
    kind, _, what = name.partition(" ")
    if kind in ("rate", "ratio"):
        return f"{_NAMES.get(what, what)} ({'more often, upper bound' if kind == 'rate' else 'times the baseline'})"
    return name[:1].upper() + name[1:]


def _rates(rates: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            escape(_NAMES.get(name, name)),
            _share(one["baseline"]),
            _share(one["candidate"]),
            f"{_share(one['low'])} to {_share(one['high'])}",
            f"{one['worse']} / {one['better']}",
            _number(one["p"]),
        )
        for name, one in rates.items()
    ]
    return _table(("", "#Baseline", "#Candidate", "#Difference, bounds", "#Worse / better", "#McNemar p"), rows)


def _ratios(ratios: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            escape(_NAMES.get(name, name)),
            _number(one["baseline"]),
            _number(one["candidate"]),
            _number(one["estimate"]),
            f"{_number(one['low'])} to {_number(one['high'])}",
        )
        for name, one in ratios.items()
    ]
    return _table(("Mean", "#Baseline", "#Candidate", "#Ratio", "#Bounds"), rows)


def _newly(title: str, found: Mapping[str, Any]) -> str:
    if not found["count"]:
        return ""
    rows = [
        (
            f"<code>{escape(one['scenario'])}</code>",
            escape(one["fault"] or one["collided_how"] or ""),
            _number(one["collided_s"]),
            "" if one["at_fault"] is None else ("yes" if one["at_fault"] else "no"),
        )
        for one in found["first"][:LISTED]
    ]
    more = f'<p class="dim">{found["count"]} in all.</p>' if found["count"] > len(rows) else ""
    return _section(title, _table(("Scenario", "How", "#At, s", "Its fault"), rows) + more)


def _competence(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    missed = len(found["missed"])
    text = (
        f"Of {found['scenarios']} cut-ins the competent human driver of UN R157 avoids {found['avoidable']}; "
        f"the candidate collides in {missed} of those."
    )
    rows = [tuple(_number(value) for value in one.values()) for one in found["missed"][:LISTED]]
    heads = tuple(f"#{escape(name)}" for name in found["missed"][0]) if missed else ()
    return _section("R157 competence", f"<p>{text}</p>" + (_table(heads, rows) if missed else ""))


def _facts(said: Mapping[str, Any], digest: str) -> str:
    facts = {
        "Verdict": digest,
        "Baseline": f"{said['baseline']['planner']} · {said['baseline']['planner_hash']}",
        "Candidate": f"{said['candidate']['planner']} · {said['candidate']['planner_hash']}",
        "Baseline's results": said["baseline"]["digest"],
        "Candidate's results": said["candidate"]["digest"],
        "Scenarios": said["scenarios"]["hash"],
        "Query": f"{said['scenarios']['query'] or 'named one by one'} · {said['scenarios']['query_hash']}",
        "Settings": ", ".join(f"{name} {value}" for name, value in said["settings"].items()),
        "Limits": said["limits"]["hash"],
        "Software": said["software_version"],
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(str(text))}</code></dd>" for name, text in facts.items())
    return f"<dl>{items}</dl>"


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>{body}"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; cells are HTML already. A head that begins with # stands above numbers."""
    kinds = [' class="n"' if head.startswith("#") else "" for head in heads]
    top = "".join(f"<th{kind}>{head.lstrip('#')}</th>" for kind, head in zip(kinds, heads, strict=True))
    lines = ("".join(f"<td{k}>{cell}</td>" for k, cell in zip(kinds, row, strict=True)) for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return escape(value) if isinstance(value, str) else f"{value:.4g}"


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"
