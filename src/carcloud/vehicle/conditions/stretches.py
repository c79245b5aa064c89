"""Where a condition is true, over whole rows: as stretches of time, found from the rows that matter alone.

Rules:
- A place is a number: 2 * t is the instant t (µs), 2 * t + 1 all the time after it until what happens next. A stretch
  (vehicle, b, e) has the places from b up to e, without e. A node's stretches of one truth touch no others of it.
- What is true for sure and what is false for sure are worked out apart, each from stretches of the parts below; so rows
  that neither are drop out before anything is sorted. What is unknown is in neither.
- Where a part needs more than a row's own values (rates, aggregates, changes), or is known before any row, the whole
  condition's changes are worked out by `aligned`, and made stretches.
- What is told lies between a vehicle's first row and its last one.

Source: tree.py, which says what each node means.
"""

from __future__ import annotations

from carcloud.vehicle.conditions.aligned import Aligned, Rows
from carcloud.vehicle.conditions.columnar_spans import BY_TIME
from carcloud.vehicle.conditions.columnar_terms import TRUTHS, Term, before, bounded, sources, term
from carcloud.vehicle.conditions.condition import Condition
from carcloud.vehicle.conditions.tree import Always, And, Falling, Held, Node, Not, Once, Or, Rising

BY_PLACE = "(PARTITION BY vehicle ORDER BY b)"
ENDLESS = 1 << 62
"""A place after all others."""


def sql(condition: Condition, rows: Rows) -> str:
    """Return the statement: rows (vehicle, b BIGINT, e BIGINT), the stretches in which a condition is true.

    It fires at b // 2 of each, and holds until e // 2; with that instant where e is odd.

    Raises:
        InputError: the statement would be longer than the lake takes.
    """
    statement = Stretches(condition, rows)
    if statement.is_plain(condition.tree):
        found = statement.of(condition.tree, True)
    else:
        found = statement.of_changes(condition.tree)
    return statement.told(found)


class Stretches(Aligned):
    """The parts of a statement, each written once: what is true for sure of a node, and what is false."""

    def __init__(self, condition: Condition, rows: Rows) -> None:
        super().__init__(condition, rows)
        self._rows, self._condition = rows, condition
        self._found: dict[tuple[Node, bool], str] = {}

    def is_plain(self, node: Node) -> bool:
        """Tell whether a node's stretches can be worked out from those of the parts below and single rows."""
        if _in_row(node):
            return before(node) is None
        match node:
            case Not(x) | Always(x) | Once(x) | Rising(x) | Falling(x):
                return self.is_plain(x)
            case And(left, right) | Or(left, right):
                return self.is_plain(left) and self.is_plain(right)
        return False

    def of(self, node: Node, truth: bool) -> str:
        """Return the name of a node's stretches of one truth."""
        if (node, truth) not in self._found:
            self._found[node, truth] = self._stretches(node, truth)
        return self._found[node, truth]

    def _stretches(self, node: Node, truth: bool) -> str:
        if _in_row(node):
            return self._of_rows(node, truth)
        match node:
            case Not(x):
                return self.of(x, not truth)
            case And(left, right) | Or(left, right):
                both = isinstance(node, And) is truth
                return self._counted([self.of(left, truth), self.of(right, truth)], 2 if both else 1)
            case Always(x, us):
                return self._lasting(self.of(x, truth), us) if truth else self._recent(self.of(x, truth), us)
            case Once(x, us, open_end):
                below = self.of(x, truth)
                return self._recent(below, us, open_end) if truth else self._lasting(below, us, open_end)
            case Rising(x) | Falling(x):
                up = isinstance(node, Rising)
                return self._edges(x, up) if truth else self._no_edges(x, up)
        raise AssertionError(f"{type(node).__name__} is no truth")

    def _of_rows(self, node: Node, truth: bool) -> str:
        """Return stretches of what is worked out from a row's own values: the rows that hold, joined."""
        bound = {one: self._of_row(one) for one in sources(node)}
        holds = term(node, bound).sql
        stale = f"t + {self._stale_us}"
        rows, following = self._rows.source, self._rows.next
        at = f"{self._rows.vehicle} AS vehicle, {self._rows.time} AS t"
        if following:
            until = f"SELECT {at}, {following} AS nt FROM {rows} WHERE {holds if truth else f'NOT {holds}'}"  # noqa: S608
        else:
            whole = f"SELECT {at}, ({holds}) AS a FROM {rows}"  # noqa: S608
            whole = f"SELECT vehicle, t, a, lead(t) OVER {BY_TIME} AS nt FROM ({whole})"  # noqa: S608
            until = f"SELECT vehicle, t, nt FROM ({whole}) WHERE {'a' if truth else 'NOT a'}"  # noqa: S608
        spans = f"SELECT vehicle, 2 * t AS b, 2 * least({stale}, coalesce(nt, {stale})) AS e FROM ({until})"  # noqa: S608
        return self._joined(spans)

    def _of_row(self, one: Node) -> Term:
        assert isinstance(one, Held)
        value = self._rows.columns[one.path]
        if one.text:
            return Term(f"({value})")
        return Term(f"(CASE WHEN isfinite({value}) THEN {value} END)", True)

    def _joined(self, spans: str) -> str:
        """Return stretches that touch each other as one."""
        sides = "lag(e) OVER w IS DISTINCT FROM b AS begins, lead(b) OVER w IS DISTINCT FROM e AS ends"
        marks = f"SELECT vehicle, b, e, {sides} FROM ({spans}) WINDOW w AS {BY_PLACE} QUALIFY begins OR ends"  # noqa: S608
        end = "CASE WHEN ends THEN e ELSE lead(e) OVER w END"
        return self._add(
            f"SELECT vehicle, b, {end} AS e FROM ({marks}) WINDOW w AS {BY_PLACE} QUALIFY begins",  # noqa: S608
            stored=True,
        )

    def _counted(self, names: list[str], least: int) -> str:
        """Return where so many of several lists have a stretch: all of them, or one."""
        marks = " UNION ALL ".join(
            f"SELECT vehicle, b, 1 AS k FROM {name} UNION ALL SELECT vehicle, e, -1 FROM {name}"  # noqa: S608
            for name in names
        )
        summed = (
            f"SELECT vehicle, b, sum(sum(k)) OVER {BY_PLACE} >= {least} AS holds FROM ({marks}) GROUP BY vehicle, b"  # noqa: S608
        )
        moves = "holds IS DISTINCT FROM lag(holds, 1, false) OVER w"
        moved = f"SELECT * FROM ({summed}) WINDOW w AS {BY_PLACE} QUALIFY {moves}"  # noqa: S608
        ended = f"SELECT vehicle, b, lead(b) OVER {BY_PLACE} AS e, holds FROM ({moved})"  # noqa: S608
        return self._add(f"SELECT vehicle, b, e FROM ({ended}) WHERE holds", stored=True)  # noqa: S608

    def _lasting(self, name: str, us: int, open_end: bool = False) -> str:
        """Return when all of (t - us, t] is in a stretch, or all of (t - us, t) where `open_end`."""
        begin, end = f"(b // 2 + {us}) * 2", "(e | 1)" if open_end else "e"
        return self._add(f"SELECT vehicle, {begin} AS b, {end} AS e FROM {name} WHERE {begin} < {end}", stored=True)  # noqa: S608

    def _recent(self, name: str, us: int, open_end: bool = False) -> str:
        """Return when some of (t - us, t] is in a stretch, or some of (t - us, t) where `open_end`."""
        begin = "(b | 1)" if open_end else "b"
        longer = self._add(f"SELECT vehicle, {begin} AS b, (e // 2 + {us}) * 2 AS e FROM {name}")  # noqa: S608
        return self._counted([longer], 1)

    def _edges(self, x: Node, up: bool) -> str:
        """Return the instants at which a truth rises: where one of false ends, one of true begins."""
        ended, begun = self.of(x, not up), self.of(x, up)
        return self._add(
            f"SELECT n.vehicle, n.b, n.b + 1 AS e FROM {begun} n JOIN {ended} o ON n.vehicle = o.vehicle AND n.b = o.e "  # noqa: S608
            "WHERE n.b % 2 = 0",
            stored=True,
        )

    def _no_edges(self, x: Node, up: bool) -> str:
        """Return where a truth does not rise for sure: what it is already, or is not."""
        ended, begun = self.of(x, not up), self.of(x, up)
        after = f"SELECT vehicle, b | 1 AS b, e + 1 - e % 2 AS e FROM {begun} WHERE (b | 1) < e + 1 - e % 2"  # noqa: S608
        return self._counted([ended, self._add(after)], 1)

    def of_changes(self, node: Node) -> str:
        """Return the stretches of true of any node, from its changes."""
        part = self.part(node)
        spans = (
            f"SELECT vehicle, t, {part.now} AS n, a, lead(t) OVER {BY_TIME} AS nt FROM (SELECT * FROM {part.changes})"  # noqa: S608
        )
        rows = self._add(spans, stored=True)
        whole = f"SELECT vehicle, 2 * t AS b, 2 * t + 1 AS e FROM {rows} WHERE n UNION ALL "  # noqa: S608
        whole += f"SELECT vehicle, 2 * t + 1, coalesce(2 * nt, {ENDLESS}) FROM {rows} WHERE a"  # noqa: S608
        if part.begun is True:
            first = f"SELECT vehicle, min(t) AS t FROM {rows} GROUP BY vehicle"  # noqa: S608
            everyone = f"SELECT DISTINCT vehicle FROM {self._source}"  # noqa: S608
            both = f"({everyone}) LEFT JOIN ({first}) USING (vehicle)"
            whole += f" UNION ALL SELECT vehicle, 0, coalesce(2 * t, {ENDLESS}) FROM {both}"  # noqa: S608
        return self._joined(whole)

    def told(self, name: str) -> str:
        """Return the whole statement, which tells stretches between each vehicle's first row and its last."""
        if self._rows.next and self.is_plain(self._condition.tree):  # nothing is true before the first row
            at = f"{self._rows.vehicle} AS vehicle, 0 AS first, 2 * {self._rows.time} + 1 AS last"
            ends = f"SELECT {at} FROM {self._rows.source} WHERE {self._rows.next} IS NULL"  # noqa: S608
        else:
            known = f"{self._source} SEMI JOIN {name} USING (vehicle)"
            ends = f"SELECT vehicle, 2 * min(t) AS first, 2 * max(t) + 1 AS last FROM {known} GROUP BY vehicle"  # noqa: S608
        cut = "greatest(b, first) AS b, least(e, last) AS e"
        told = f"SELECT vehicle, {cut} FROM {name} JOIN ({ends}) USING (vehicle) WHERE b < last AND e > first"  # noqa: S608
        return bounded(f"WITH {', '.join(self._written)} {told} ORDER BY vehicle, b")


def _in_row(node: Node) -> bool:
    """Tell whether a truth is worked out from a row's own values."""
    return isinstance(node, TRUTHS) and all(isinstance(one, Held) for one in sources(node))
