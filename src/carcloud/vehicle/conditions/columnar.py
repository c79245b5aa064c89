"""A condition as one SQL statement for DuckDB, over all cars and all of their samples at once.

Rules:
- It says what `incremental` says, to the microsecond and to the last bit.
- A part of the statement has rows (vehicle, t, n, a), one an instant of a car: what a node is at it, and after it.
  Where these never differ (`level`) there is no n. A row need not be a change; the last step leaves out what is none.
- What depends on one signal is worked out while its samples are in order, and of a truth only what may be a change goes
  on: a condition on one signal costs one sort. Parts on different signals are laid into one order, and each one's
  values are carried on.
- It only reads, and calls only functions that are open to any caller of the lake.

Source: tree.py, which says what each node means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from carcloud.vehicle.conditions.columnar_spans import BY_TIME, edges, ends, window
from carcloud.vehicle.conditions.columnar_terms import (
    TRUTHS,
    Term,
    Value,
    before,
    bounded,
    is_text,
    literal,
    quoted,
    real,
    sources,
    term,
)
from carcloud.vehicle.conditions.condition import Condition
from carcloud.vehicle.conditions.tree import (
    LIMIT_MEAN,
    Aggregate,
    Always,
    Changed,
    Falling,
    Held,
    Node,
    Once,
    Rate,
    Rising,
)

BY_ARRIVAL = "(PARTITION BY vehicle ORDER BY t, chunk)"
CODES = {False: 0, None: 1, True: 2}
"""Truths as numbers, so that an unknown one is told from none."""


def sql(condition: Condition, source: str = "samples") -> str:
    """Return the statement: rows (vehicle, time_us BIGINT, now BOOLEAN, after BOOLEAN), the changes of each car.

    Args:
        source: a table's name, or a query in parentheses, with the columns vehicle, signal, time (µs, with time zone),
            value, text and chunk; of rows with the same vehicle, signal and time that of the highest chunk counts.

    Raises:
        InputError: the statement would be longer than the lake takes.
    """
    statement = Statement(condition.stale_us, source)
    return statement.ending_in(statement.part(condition.tree))


@dataclass(frozen=True)
class Part:
    """A part under its name. begun: what the node is before a car's first row. thin: whether most rows are changes."""

    name: str
    begun: Value
    level: bool = True
    thin: bool = False
    exact: bool = False

    @property
    def now(self) -> str:
        """Return the column of what the node is at an instant."""
        return "a" if self.level else "n"

    @property
    def columns(self) -> str:
        """Return the columns of a row."""
        return "vehicle, t, a" if self.level else "vehicle, t, a, n"

    @property
    def changes(self) -> str:
        """Return the rows of a truth that are changes, as what follows FROM."""
        was = f"lag(a, 1, {literal(self.begun)}) OVER w"
        differs = " OR ".join(f"{column} IS DISTINCT FROM {was}" for column in sorted({"a", self.now}))
        return self.name if self.exact else f"{self.name} WINDOW w AS {BY_TIME} QUALIFY {differs}"


class Statement:
    """The parts of a statement, each written once."""

    def __init__(self, stale_us: int, source: str) -> None:
        self._stale_us, self._source = stale_us, source
        self._names: dict[str, str] = {}
        self._written: list[str] = []
        self._parts: dict[Node, Part] = {}

    def ending_in(self, last: Part) -> str:
        """Return the whole statement, which tells the changes of a part."""
        told = f'SELECT vehicle, t AS time_us, {last.now} AS "now", a AS "after" FROM {last.changes}'  # noqa: S608
        return bounded(f"WITH {', '.join(self._written)} {told} ORDER BY vehicle, time_us")

    def part(self, node: Node) -> Part:
        """Return the part of a node; write it where it is not written yet."""
        if node not in self._parts:
            self._parts[node] = self._made(node)
        return self._parts[node]

    def _made(self, node: Node) -> Part:
        clocks = {self._clock(one) for one in sources(node)}
        if len(clocks) > 1:
            return self._laid_together(node)
        if not clocks:
            rows = f"SELECT vehicle, epoch_us(time) AS t, {literal(before(node))} AS a FROM {self._source} WHERE false"  # noqa: S608
            return Part(self._add(rows), before(node), thin=True, exact=True)
        of, us = clocks.pop()
        if isinstance(of, Node):
            return self._of_source(node, of)
        return self._of_window(node, of, us) if us else self._of_samples(node, of)

    def _clock(self, source: Node) -> tuple[Node | str, int]:
        """Return what a source changes with: the samples of a path, those of a window (µs), or itself."""
        match source:
            case Held(path) | Rate(path) | Changed(path, _, None):
                return path, 0
            case Aggregate(_, path, us) | Changed(path, _, int(us)):
                return path, us
        return source, 0

    def _pieces(self, node: Node) -> Iterable[Node]:
        """Yield the greatest parts of a node that change with one thing."""
        clocks = {self._clock(one) for one in sources(node)}
        if len(clocks) == 1:
            yield node
        else:
            for part in node.parts():
                yield from self._pieces(part)

    def _column(self, one: Node) -> str:
        """Return the column in which a source's value stands."""
        return "x" if is_text(one) else "v"

    def _held(self, one: Node, at: str) -> Term:
        return Term(f"{at}{self._column(one)}", not is_text(one))

    def _add(self, body: str, *, stored: bool = False) -> str:
        if body not in self._names:
            self._names[body] = f"c{len(self._written)}"
            self._written.append(bounded(f"{self._names[body]} AS {'' if stored else 'NOT '}MATERIALIZED ({body})"))
        return self._names[body]

    def _thin(self, node: Node) -> Part:
        """Return the part of a truth, its rows few: what is worked out from it needs them more than once."""
        part = self.part(node)
        if not part.thin:
            rows = self._add(f"SELECT {part.columns} FROM {part.changes}", stored=True)  # noqa: S608
            part = self._parts[node] = replace(part, name=rows, thin=True, exact=True)
        return part

    # one signal

    def _read(self, path: str) -> str:
        value = "CASE WHEN isfinite(value) THEN value END AS v, text AS x"
        return f"SELECT vehicle, epoch_us(time) AS t, chunk, {value} FROM {self._source} WHERE signal = {quoted(path)}"  # noqa: S608

    def _samples(self, path: str) -> str:
        """Return a signal's samples, of those with the same time the one that counts."""
        last = f"WINDOW w AS {BY_ARRIVAL} QUALIFY lead(t) OVER w IS DISTINCT FROM t"
        return f"SELECT vehicle, t, v, x FROM ({self._read(path)}) {last}"  # noqa: S608

    def _of_samples(self, node: Node, path: str) -> Part:
        """Tell what depends on a signal's value, and the one before, at samples and when the value goes stale."""
        level = not any(isinstance(one, Changed) for one in sources(node))
        part = Part("", before(node), level, thin=isinstance(node, TRUTHS))
        back = any(isinstance(one, Rate | Changed) for one in sources(node))
        told = self._add(
            self._looking_back(part, node, path) if back else self._looking_here(part, node, path), stored=True
        )
        nothing = ", ".join(["NULL" if part.begun is None else literal(part.begun)] * (1 if level else 2))
        both = (
            f"SELECT {part.columns} FROM {told} UNION ALL "  # noqa: S608
            f"SELECT vehicle, t + {self._stale_us}, {nothing} FROM {told} WHERE {self._goes_stale()}"
        )
        return replace(part, name=self._add(both))

    def _looking_here(self, part: Part, node: Node, path: str) -> str:
        a = term(node, {one: self._held(one, "") for one in sources(node)}).sql
        rows = f"SELECT vehicle, t, chunk, {a} AS a FROM ({self._read(path)})"  # noqa: S608
        keep = "lead(t) OVER w IS DISTINCT FROM t"
        if part.thin:
            was = f"a IS DISTINCT FROM lag(a, 1, {literal(part.begun)}) OVER w OR lag(t) OVER w = t"
            keep += f" AND ({was} OR t - lag(t) OVER w > {self._stale_us} OR {self._goes_stale()})"
        following = f"SELECT vehicle, t, a, lead(t) OVER w AS nt FROM ({rows})"  # noqa: S608
        return f"{following} WINDOW w AS {BY_ARRIVAL} QUALIFY {keep}"

    def _looking_back(self, part: Part, node: Node, path: str) -> str:
        back = ", ".join(f"lag({column}, {by}) OVER w AS {'p' * by}{column}" for by in (1, 2) for column in "tvx")
        rows = (
            f"SELECT vehicle, t, v, x, {back}, lead(t) OVER w AS nt FROM ({self._samples(path)}) WINDOW w AS {BY_TIME}"  # noqa: S608
        )
        return self._told_back(part, node, rows)

    def _told_back(self, part: Part, node: Node, rows: str) -> str:
        """Return what depends on the values in rows that stand beside the two before them."""
        now, after, was = (
            term(node, {one: self._of_two(one, at, instant) for one in sources(node)}).sql
            for at, instant in (("", True), ("", False), ("p", False))
        )
        told = f"SELECT vehicle, t, pt, nt, {now} AS n, {after} AS a, {was} AS was FROM ({rows})"  # noqa: S608
        keep = "true"
        if part.thin:
            keep = f"n IS DISTINCT FROM was OR a IS DISTINCT FROM was OR pt IS NULL OR t - pt > {self._stale_us}"
            keep += f" OR {self._goes_stale()}"
        return f"SELECT {part.columns}, nt FROM ({told}) WHERE {keep}"  # noqa: S608

    def _goes_stale(self) -> str:
        return f"nt IS NULL OR nt - t > {self._stale_us}"

    def _of_two(self, one: Node, at: str, instant: bool) -> Term:
        """Return a source at a sample, or right after it; `at`: "" or how the columns of an earlier one begin."""
        if isinstance(one, Held):
            return self._held(one, at)
        value, time = f"{at}{self._column(one)}", f"{at}t"
        rise, passed = f"({value} - p{value})", f"({time} - p{time})"
        held = f"{passed} <= {self._stale_us}"
        if isinstance(one, Rate):
            return Term(f"CASE WHEN {held} THEN {rise} / (CAST({passed} AS DOUBLE) / 1e6) END")
        assert isinstance(one, Changed)
        if not instant:
            return Term(f"CASE WHEN {value} IS NOT NULL THEN false END")
        return Term(f"CASE WHEN {held} AND isfinite({rise}) THEN abs({rise}) >= {real(one.by)} END")

    def _of_window(self, node: Node, path: str, us: int) -> Part:
        """Tell what depends on a signal's samples in a window: at samples, and when each leaves it."""
        scaled = f"CASE WHEN abs(v) < {real(LIMIT_MEAN)} THEN CAST(floor(v * 1e6 + 0.5) AS HUGEINT) END"
        counted = f"SELECT vehicle, t, v, {scaled} AS q, 1 AS k, CAST({scaled} IS NULL AS INT) AS g"
        samples = self._add(f"{counted} FROM ({self._samples(path)})", stored=True)
        leaving = f"SELECT vehicle, t + {us}, NULL, -q, -k, -g FROM {samples}"  # noqa: S608
        frame = f"f AS (PARTITION BY vehicle ORDER BY t RANGE BETWEEN {us - 1} PRECEDING AND CURRENT ROW)"
        bound = {one: _over_window(one) for one in sources(node)}
        a = term(node, bound).sql
        columns = ", ".join(
            f"{sql} AS {name}" for name, sql in SUMS.items() if any(name in b.sql for b in bound.values())
        )
        told = (
            f"SELECT vehicle, t, {columns} FROM (SELECT * FROM {samples} UNION ALL {leaving}) "  # noqa: S608
            f"WINDOW {frame}, w AS {BY_TIME} QUALIFY lead(t) OVER w IS DISTINCT FROM t"
        )
        return Part(self._add(f"SELECT vehicle, t, {a} AS a FROM ({told})"), before(node))  # noqa: S608

    # another truth

    def _of_source(self, node: Node, source: Node) -> Part:
        """Tell what depends on one truth that looks back at another."""
        begun = before(node)
        if node is not source and node != source:
            below = self.part(source)
            n, a = (term(node, {source: Term(column)}).sql for column in "na")
            rows = f"SELECT vehicle, t, {n} AS n, {a} AS a FROM {below.name}"  # noqa: S608
            return Part(self._add(rows), begun, level=False, thin=below.thin)
        assert isinstance(source, Rising | Falling | Always | Once)
        below = self._thin(source.x)
        was = below.begun
        assert was is None or isinstance(was, bool)
        if isinstance(source, Rising | Falling):
            rows = edges(below.name, below.now, was, up=isinstance(source, Rising))
        else:
            hit, open_end = isinstance(source, Once), isinstance(source, Once) and source.before
            ended = self._add(ends(below.name, below.now, was, hit=hit), stored=True)
            rows = window(ended, source.us, hit=hit, open_end=open_end)
        return Part(self._add(rows), begun, level=False, thin=True)

    # several

    def _laid_together(self, node: Node) -> Part:
        """Tell what depends on several parts: their rows in one order, each one's values carried on."""
        pieces = list(dict.fromkeys(self._pieces(node)))
        parts = [self._thin(piece) if isinstance(piece, TRUTHS) else self.part(piece) for piece in pieces]
        columns = [[f"p{at}"] if part.level else [f"p{at}", f"q{at}"] for at, part in enumerate(parts)]
        names = [name for some in columns for name in some]
        rows = []
        for piece, part, mine in zip(pieces, parts, columns, strict=True):
            said = dict(zip(mine, [_coded(piece, part), "t"], strict=False))
            listed = ", ".join(f"{said.get(name, 'NULL')} AS {name}" for name in names)
            rows.append(f"SELECT vehicle, t, {listed} FROM {part.name}")  # noqa: S608
        carried = ", ".join(f"last_value({name} IGNORE NULLS) OVER w AS {name}" for name in names)
        last = f"WINDOW w AS {BY_TIME} QUALIFY lead(t) OVER w IS DISTINCT FROM t"
        state = f"SELECT vehicle, t, {carried} FROM ({' UNION ALL '.join(rows)}) {last}"  # noqa: S608
        now, after = (
            {
                piece: _decoded(piece, part, at, instant)
                for at, (piece, part) in enumerate(zip(pieces, parts, strict=True))
            }
            for instant in (True, False)
        )
        level = all(part.level for part in parts)
        n = "" if level else f", {term(node, now).sql} AS n"
        told = f"SELECT vehicle, t, {term(node, after).sql} AS a{n} FROM ({state})"  # noqa: S608
        thin = all(isinstance(piece, TRUTHS) for piece in pieces)
        return Part(self._add(told), before(node), level, thin)


SUMS = {
    "x_min": "min(v) OVER f",
    "x_max": "max(v) OVER f",
    "x_sum": "sum(q) OVER w",
    "x_count": "sum(k) OVER w",
    "x_great": "sum(g) OVER w",
}
"""What is known of a window's samples. Whole numbers come in with a sample and are taken away as it leaves, exactly."""


def _over_window(one: Node) -> Term:
    match one:
        case Aggregate("count"):
            return Term("CAST(x_count AS DOUBLE)", True)
        case Aggregate("mean"):
            small, great = "CAST(TRY_CAST(x_sum AS BIGINT) AS DOUBLE)", "CAST(CAST(x_sum AS VARCHAR) AS DOUBLE)"
            mean = f"coalesce({small}, {great}) / (x_count * 1e6)"  # a HUGEINT would not be rounded to the nearest
            return Term(f"CASE WHEN x_great = 0 AND x_count > 0 THEN {mean} END", True)
        case Aggregate("min" | "max" as kind):
            return Term(f"x_{kind}", True)
        case Changed(_, by):
            return Term(f"CASE WHEN isfinite(x_max - x_min) THEN x_max - x_min >= {real(by)} END")
    raise AssertionError(f"{type(one).__name__} has no window of samples")


def _coded(piece: Node, part: Part) -> str:
    """Return a part's values as what is never NULL."""
    if isinstance(piece, TRUTHS):
        code = "CASE WHEN {0} THEN 2 WHEN NOT {0} THEN 0 ELSE 1 END"
        return code.format("a") if part.level else f"3 * {code.format('n')} + {code.format('a')}"
    return "CASE WHEN a IS NULL THEN '' ELSE '=' || a END" if is_text(piece) else "coalesce(a, CAST('nan' AS DOUBLE))"


def _decoded(piece: Node, part: Part, at: int, instant: bool) -> Term:
    """Return what a piece is at an instant, or right after it, from what was carried on."""
    name, begun = f"p{at}", part.begun
    if not isinstance(piece, TRUTHS):
        if is_text(piece):
            return Term(f"CASE WHEN {name} <> '' THEN substr({name}, 2) END")
        return Term(name if begun is None else f"coalesce({name}, {literal(begun)})")
    code = name if part.level else f"{name} % 3"
    if instant and not part.level:
        code = f"CASE WHEN q{at} = t THEN {name} // 3 ELSE {name} % 3 END"
    assert begun is None or isinstance(begun, bool)
    return Term(f"CASE coalesce({code}, {CODES[begun]}) WHEN 2 THEN true WHEN 0 THEN false END")
