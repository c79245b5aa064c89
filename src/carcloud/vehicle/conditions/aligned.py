"""A condition over rows that are whole: a table with a column a signal, whose row is a sample of all of them at once.

Rules:
- It says what the definition says of the samples that the rows are. Where a column is null the row is a sample that
  says its signal is unknown from then on: it holds nothing, and counts in no window.
- No two rows of one vehicle have the same time. Rows come in any order.
- All signals change together, so that whatever is worked out at each row needs no laying together.

Source: tree.py, which says what each node means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carcloud.vehicle.conditions.columnar import Part, Statement
from carcloud.vehicle.conditions.columnar_spans import BY_TIME
from carcloud.vehicle.conditions.columnar_terms import literal, sources, term
from carcloud.vehicle.conditions.condition import Condition
from carcloud.vehicle.conditions.tree import Aggregate, Changed, Held, Node, Rate

ROWS = ""
"""What stands for the path of what changes with the rows."""


@dataclass(frozen=True)
class Rows:
    """Where the rows are, each part an SQL expression over `source`.

    Args:
        source: a table's name, or a query in parentheses.
        vehicle: whose row it is, VARCHAR.
        time: when it was sampled, µs, BIGINT.
        columns: by the signals' paths: DOUBLE, or VARCHAR of those in `texts`.
        next: the time of the same vehicle's next row, NULL in its last; empty where nobody knows, and it is found out.
    """

    source: str
    vehicle: str
    time: str
    columns: Mapping[str, str]
    texts: frozenset[str] = field(default_factory=frozenset)
    next: str = ""


def sql(condition: Condition, rows: Rows) -> str:
    """Return the statement: rows (vehicle, time_us BIGINT, now BOOLEAN, after BOOLEAN), the changes of each vehicle.

    Raises:
        InputError: the statement would be longer than the lake takes.
    """
    statement = Aligned(condition, rows)
    return statement.ending_in(statement.part(condition.tree))


class Aligned(Statement):
    """The parts of a statement over whole rows."""

    def __init__(self, condition: Condition, rows: Rows) -> None:
        values = [rows.columns[path] for path in condition.paths]
        known = [
            value if path in rows.texts else f"CASE WHEN isfinite({value}) THEN {value} END"
            for path, value in zip(condition.paths, values, strict=True)
        ]
        named = ", ".join(f"{value} AS v{at}" for at, value in enumerate(known))
        at = f"{rows.vehicle} AS vehicle, {rows.time} AS t, make_timestamp({rows.time}) AS time"
        super().__init__(condition.stale_us, f"(SELECT {at}, {named} FROM {rows.source})")  # noqa: S608 names of ours
        self._places = {path: at for at, path in enumerate(condition.paths)}
        self._texts = rows.texts

    def _clock(self, source: Node) -> tuple[Node | str, int]:
        of, us = super()._clock(source)
        return (ROWS, 0) if isinstance(of, str) and not us else (of, us)

    def _column(self, one: Node) -> str:
        assert isinstance(one, Held | Rate | Changed | Aggregate)
        return f"v{self._places[one.path]}"

    def _samples(self, path: str) -> str:
        """Return the samples of one signal, of those rows that have one."""
        name = f"v{self._places[path]}"
        value = "CAST(NULL AS DOUBLE)" if path in self._texts else name
        return f"SELECT vehicle, t, {value} AS v FROM {self._source} WHERE {name} IS NOT NULL"  # noqa: S608

    def _looking_here(self, part: Part, node: Node, path: str) -> str:
        a = term(node, {one: self._held(one, "") for one in sources(node)}).sql
        keep = "true"
        if part.thin:
            was = f"a IS DISTINCT FROM lag(a, 1, {literal(part.begun)}) OVER w"
            keep = f"{was} OR t - lag(t) OVER w > {self._stale_us} OR {self._goes_stale()}"
        told = f"SELECT vehicle, t, {a} AS a FROM {self._source}"  # noqa: S608
        return f"SELECT vehicle, t, a, lead(t) OVER w AS nt FROM ({told}) WINDOW w AS {BY_TIME} QUALIFY {keep}"  # noqa: S608

    def _looking_back(self, part: Part, node: Node, path: str) -> str:
        names = ["t", *dict.fromkeys(self._column(one) for one in sources(node))]
        back = ", ".join(f"lag({name}, {by}) OVER w AS {'p' * by}{name}" for by in (1, 2) for name in names)
        here = f"SELECT vehicle, {', '.join(names)}, {back}, lead(t) OVER w AS nt"
        rows = f"{here} FROM {self._source} WINDOW w AS {BY_TIME}"
        return self._told_back(part, node, rows)
