"""What looks back from an instant at a truth, as SQL over the rows (vehicle, t, n, a) of that truth.

Rules:
- Between two rows a truth is what it is after the first; before a car's first row it is `before`.
- Of a car's rows no two have the same instant; they come in any order.
- "Always x" is "not once not x", so both look for a hit: false for always, true for once.
"""

from __future__ import annotations

from carcloud.vehicle.conditions.columnar_terms import literal
from carcloud.vehicle.conditions.condition import Truth

BY_TIME = "(PARTITION BY vehicle ORDER BY t)"
EARLIER = "(PARTITION BY vehicle ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"


def edges(rows: str, now: str, before: Truth, *, up: bool) -> str:
    """Return where a truth rises, or falls: rows (vehicle, t, n, a)."""
    was = f"lag(a, 1, {literal(before)}) OVER {BY_TIME}"
    at = f"(NOT {was} AND {now})" if up else f"({was} AND NOT {now})"
    return f"SELECT vehicle, t, {at} AS n, (a AND NOT a) AS a FROM {rows}"  # noqa: S608 names of our own


def ends(rows: str, now: str, before: Truth, *, hit: bool) -> str:
    """Return the rows with where the last time of a hit ended: before them (be), and up to right after them (ce).

    bu, cu: the same of a hit or unknown. nt: the next row's time. A time that goes on after a row ends at the next one.
    """
    begun = f"lead(t) OVER {BY_TIME} AS nt, first_value(t) OVER {BY_TIME} AS t0"
    ordered = f"SELECT vehicle, t, {now} AS n, a, {begun} FROM {rows}"  # noqa: S608
    earlier, upto = [], []
    for name, test, holds in (("e", _hits, before is hit), ("u", _may_hit, before is hit or before is None)):
        ended = f"CASE WHEN {test('a', hit)} THEN nt WHEN {test('n', hit)} THEN t END"
        last = f"max({ended}) OVER {EARLIER}"
        earlier.append(f"{f'greatest({last}, t0)' if holds else last} AS b{name}")
        upto.append(f"greatest(b{name}, CASE WHEN {test('n', hit)} THEN t END) AS c{name}")
    back = f"SELECT vehicle, t, n, a, nt, {', '.join(earlier)} FROM ({ordered})"  # noqa: S608
    return f"SELECT vehicle, t, n, a, nt, be, bu, {', '.join(upto)} FROM ({back})"  # noqa: S608


def window(rows: str, us: int, *, hit: bool, open_end: bool) -> str:
    """Return whether there was a hit in (t - us, t], or in (t - us, t) where `open_end`; `rows` are those of `ends`."""
    hits, miss = str(hit).lower(), str(not hit).lower()

    def told(certain: str, possible: str) -> str:
        return f"CASE WHEN {certain} THEN {hits} WHEN NOT {possible} THEN {miss} END"

    now = [f"coalesce(b{name} > t - {us}, false)" for name in "eu"]
    after = [f"coalesce(c{name} > t - {us}, false)" for name in "eu"]
    for at, test in enumerate((_hits, _may_hit)):
        now[at] = now[at] if open_end else f"({test('n', hit)} OR {now[at]})"
        after[at] = f"({test('a', hit)} OR {after[at]})"
    # what leaves the window before the next row: the last hit, then the last unknown
    leaves = {name: f"c{name} > t - {us} AND (nt IS NULL OR c{name} + {us} < nt)" for name in "eu"}
    return (
        f"SELECT vehicle, t, {told(*now)} AS n, {told(*after)} AS a FROM {rows} UNION ALL "  # noqa: S608
        f"SELECT vehicle, ce + {us}, NULL, NULL FROM {rows} "
        f"WHERE {leaves['e']} AND NOT {_hits('a', hit)} AND (a IS NULL OR cu > ce) UNION ALL "
        f"SELECT vehicle, cu + {us}, {miss}, {miss} FROM {rows} WHERE {leaves['u']} AND NOT {_may_hit('a', hit)}"
    )


def _hits(column: str, hit: bool) -> str:
    return f"coalesce({column if hit else f'NOT {column}'}, false)"


def _may_hit(column: str, hit: bool) -> str:
    return f"coalesce({column if hit else f'NOT {column}'}, true)"
