"""SQL over the lake, for strangers' statements: read only, bounded in time, memory and rows.

- One locked-down DuckDB instance; every query gets a fresh connection to it and leaves nothing behind.
- DuckDB looks at its limits between steps only: behind the API it runs in a process that can be killed (`workers`).
- `statement.read_only` decides what may run. Behind it DuckDB is closed too: no file outside one tenant's folder of the
  table, no extension, no setting can be changed, nothing spills to disk.
- `samples` is a view over the tenant's live files; `signals` and `vehicles` are filled when a query names them. The
  tables of recordings are there for who reaches all of the tenant's cars, when a query names them or lists tables.
- For who reaches a share only, the view joins it, and ends in a LIMIT that limits nothing: below one no optimiser may
  move what a stranger's statement works out, so its errors tell nothing of rows that are out of reach.

Source: https://duckdb.org/docs/2.0/operations_manual/securing_duckdb/overview
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute

from carcloud.errors import CarcloudError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.lake.errors import failed, too_large, too_slow
from carcloud.lake.recorded import Shown
from carcloud.lake.settings import QueryLimits
from carcloud.lake.statement import Statement, place, read_only
from carcloud.lake.tables import TABLES, Rows, Share, table

READ_ROWS = 16_384
TRIES = 3
NO_LIMIT = 2**63 - 1

Files = Callable[[], tuple[int, list[str]]]


@dataclass(frozen=True)
class Answer:
    """Rows of a query; `truncated` when there were more than asked for; `elapsed_s` in seconds."""

    table: pa.Table
    truncated: bool
    elapsed_s: float


class LakeQuery:
    """The lake's SQL for one tenant and one thread.

    Args:
        path: the tenant's folder of the Delta table, the only one whose files can be read: see `folder_of`.
        files: returns (version, absolute paths of the tenant's live files); MissingError while there is no table.
        signals: returns the tenant's catalogue as rows of the table `signals`.
        vehicles: returns the tenant's vehicles as rows of the table `vehicles`.
        recorded: the tables of the tenant's recordings; None: there are none.
    """

    def __init__(
        self,
        path: Path,
        files: Files,
        signals: Rows,
        vehicles: Rows,
        limits: QueryLimits | None = None,
        recorded: Shown | None = None,
    ) -> None:
        self._path, self._recorded = path.absolute(), recorded
        self._files, self._rows = files, {"signals": signals, "vehicles": vehicles}
        self._limits = limits or QueryLimits()
        self._database = self._opened()
        self._view: tuple[int, str] = (-1, "")

    def run(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        limit: int | None = 10_000,
        share: Share | None = None,
    ) -> Answer:
        """Return at most `limit` rows (None: all) of one read-only statement, `$name` standing for parameters.

        share: what of the samples is in reach; None: all.
        """
        started = time.perf_counter()
        for attempt in range(TRIES):
            try:
                with self.stream(sql, parameters, share) as reader:
                    table, truncated = _take(reader, limit)
                return Answer(table, truncated, time.perf_counter() - started)
            except TryLaterError:
                if attempt == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def stream(
        self, sql: str, parameters: Mapping[str, Any] | None = None, share: Share | None = None
    ) -> Iterator[pa.RecordBatchReader]:
        """Give the whole result as a reader, batch by batch, for results larger than memory."""
        session = self._database.cursor()
        try:
            statement = read_only(session, sql)
            if share is not None and statement.explains:
                raise NotAllowedError("A plan tells of what is out of your reach.", "Ask without EXPLAIN.")
            self._show_tables(session, statement, share)
            yield self._ask(session, statement, parameters, share)
        except MemoryError as error:
            raise too_large(self._limits) from error
        except (duckdb.Error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise self._explained(session, sql, parameters, error) from error
        finally:
            session.close()

    def close(self) -> None:
        """Give the memory back."""
        self._database.close()

    def _opened(self) -> duckdb.DuckDBPyConnection:
        return _locked([self._path, *(self._recorded.folders if self._recorded else [])], self._limits)

    def _show_tables(self, session: duckdb.DuckDBPyConnection, statement: Statement, share: Share | None) -> None:
        for name, rows in self._rows.items():
            shown = rows() if name in statement.tables else []
            session.register(name, table(name, shown))
        samples = self._samples()
        if samples and share is not None:
            session.register("reach_times", share.times)
            session.register("reach_scopes", share.scopes)
            samples = _shared(samples, share)
        if samples:
            session.execute(f"CREATE TEMP VIEW samples AS {samples}").fetchall()
        else:
            session.register("samples", TABLES["samples"].empty_table())
        if self._recorded:
            self._show_recorded(session, statement, self._recorded, share)

    def _show_recorded(
        self, session: duckdb.DuckDBPyConnection, statement: Statement, recorded: Shown, share: Share | None
    ) -> None:
        named = recorded.names if statement.lists else recorded.names & statement.tables
        for name in () if share is not None else named:
            shown = recorded.view(name)
            if isinstance(shown, str):
                session.execute(f"CREATE TEMP VIEW {name} AS {shown}").fetchall()
            else:
                session.register(name, shown)

    def _samples(self) -> str:
        try:
            version, files = self._files()
        except MissingError:
            return ""
        if version != self._view[0]:
            self._view = (version, _samples_of(files))
        return self._view[1]

    def _ask(
        self,
        session: duckdb.DuckDBPyConnection,
        statement: Statement,
        parameters: Mapping[str, Any] | None,
        share: Share | None,
    ) -> pa.RecordBatchReader:
        try:
            reader = session.sql(statement.sql, params=dict(parameters or {})).to_arrow_reader(READ_ROWS)
        except duckdb.CatalogException:
            if share is not None and self._recorded and self._recorded.names & statement.tables:
                do = "Ask for a role that sees all cars of the tenant."
                raise NotAllowedError("Recordings are shown to who may see all cars only.", do) from None
            raise
        if not statement.explains:
            return reader
        text = [self._without_paths(line) for line in reader.read_all().column(1).to_pylist()]
        return pa.table({"plan": text}).to_reader()

    def _explained(
        self,
        session: duckdb.DuckDBPyConnection,
        sql: str,
        parameters: Mapping[str, Any] | None,
        error: Exception,
    ) -> CarcloudError:
        if isinstance(error, (duckdb.InternalException, duckdb.FatalException)):
            self.close()
            self._database = self._opened()
            return failed()
        text = str(error)
        if "INTERRUPT" in text:
            return too_slow(self._limits)
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in text:
            return too_large(self._limits)
        if isinstance(error, duckdb.IOException) or text.startswith("IO Error"):
            return TryLaterError("The lake's files changed while the query ran.", "Ask again.")
        message, where = _located(session, sql, parameters, text)
        return InputError(self._without_paths(message), f"Look at {where}." if where else "Mend the SQL.")

    def _without_paths(self, text: str) -> str:
        for folder in (self._path, *([self._recorded.folder] if self._recorded else [])):
            text = text.replace(f"{folder}/", "").replace(str(folder), "the lake")
        return text


def folder_of(table: Path, tenant: str) -> Path:
    """Return where a tenant's files lie in the table."""
    return table / f"tenant={tenant}"


def _locked(folders: Sequence[Path], limits: QueryLimits) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{limits.memory_bytes}B",
            "threads": str(limits.threads),
            "max_execution_time": str(int(limits.time_s * 1000)),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "python_enable_replacements": "false",
            "errors_as_json": "true",
            "show_behavior": "table",
        },
    )
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    database.execute("SET temp_directory = ''")
    database.execute(f"SET allowed_directories = [{', '.join(_quoted(f'{folder}/') for folder in folders)}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _samples_of(files: list[str]) -> str:
    if not files:
        return ""
    listed, columns = ", ".join(_quoted(file) for file in files), ", ".join(TABLES["samples"].names)
    source = f"read_parquet([{listed}], hive_partitioning = true, hive_types = {{'day': VARCHAR}})"
    return f"SELECT {columns} FROM {source}"  # noqa: S608 quoted above


def _shared(samples: str, share: Share) -> str:
    """Return the samples that a share opens, as exactly as it says; the middle of a step is that of `reach.coarse`."""
    steps = "floor(s.value / c.step)"
    middle = f"CASE WHEN c.whole THEN {steps} * c.step + (c.step - 1) / 2 ELSE ({steps} + 0.5) * c.step END"
    value = f"CASE WHEN c.step = 0 OR s.value IS NULL THEN s.value ELSE least(greatest({middle}, c.low), c.high) END"
    names = [f"{value} AS value" if name == "value" else f"s.{name}" for name in TABLES["samples"].names]
    days = [f"s.day {than} {_quoted(day)}" for than, day in zip((">=", "<="), _days(share.times), strict=True)]
    times = "s.vehicle = t.vehicle AND s.time >= t.since AND s.time < t.until"
    return (
        f"SELECT {', '.join(names)} FROM ({samples}) s "  # noqa: S608 quoted above
        f"JOIN temp.main.reach_times t ON {times} "
        "JOIN temp.main.reach_scopes c ON c.scope = t.scope AND c.signal = s.signal "
        f"WHERE {' AND '.join(days)} LIMIT {NO_LIMIT}"
    )


def _days(times: pa.Table) -> tuple[str, str]:
    """Return the first and last day that is in reach."""
    ends = pa.compute.min(times["since"]).as_py(), pa.compute.max(times["until"]).as_py()
    first, last = (f"{end:%Y-%m-%d}" if end else "" for end in ends)
    return first, last


def _take(reader: pa.RecordBatchReader, limit: int | None) -> tuple[pa.Table, bool]:
    batches, rows = [], 0
    for batch in reader:
        batches.append(batch)
        rows += batch.num_rows
        if limit is not None and rows > limit:
            break
    table = pa.Table.from_batches(batches, schema=reader.schema)
    return (table, False) if limit is None else (table.slice(0, limit), rows > limit)


def _located(
    session: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None, text: str
) -> tuple[str, str]:
    """Return the engine's message and the place in the SQL; a binder's error says its place only to EXPLAIN."""
    message, position = _parsed(text)
    if position is None:
        try:
            session.execute(f"EXPLAIN {sql}", dict(parameters or {})).fetchall()
        except duckdb.Error as error:
            message, position = _parsed(str(error))
            position = None if position is None else position - len("EXPLAIN ")
    return message, "" if position is None else place(sql, position)


def _parsed(text: str) -> tuple[str, int | None]:
    try:
        said = orjson.loads(text[text.index("{") :])
    except ValueError:
        return " ".join(text.split("\n\nLINE ")[0].split()), None
    position = said.get("position")
    return " ".join(said.get("exception_message", text).split()), None if position is None else int(position)
