"""Which SQL may be asked of the lake: one statement that only reads the lake's own tables.

The rules, checked on DuckDB's own syntax tree, everything not named here being refused:
- one statement: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, or EXPLAIN of one of these;
- no part of it may write: DuckDB 2 lets `WITH x AS (COPY … TO …) SELECT …` pass as a SELECT;
- functions only from the list in `functions`: others parse SQL out of text, read files, or tell of storage;
- no file in a table's place: `FROM 'some.parquet'` would read what the lake no longer holds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson

from carcloud.errors import InputError, NotAllowedError
from carcloud.lake.functions import FUNCTIONS, IN_A_TABLES_PLACE

READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
CLOSED_TABLES = re.compile(r"(duckdb_|pg_|sqlite_|pragma_|reach_).*", re.IGNORECASE)
FILE_NAME = re.compile(r"[./\\:*?\[]")
OPEN_SCHEMA_TABLES = frozenset({"tables", "columns"})
EXPLAIN = re.compile(r"\s*explain(\s+analyze\b)?\s*(?=\w)", re.IGNORECASE)
PIVOT = re.compile(r"\s*pivot\b", re.IGNORECASE)
ASK = "Ask with one SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN statement over the lake's tables: SHOW TABLES."


@dataclass(frozen=True)
class Statement:
    """A statement that was found to read only, and the names of the tables it mentions; `lists`: it asks which
    there are.
    """

    sql: str
    tables: frozenset[str]
    explains: bool
    lists: bool


def read_only(session: duckdb.DuckDBPyConnection, sql: str) -> Statement:
    """Return the statement, or raise InputError or NotAllowedError saying what is wrong with it."""
    if "\0" in sql:
        raise InputError("The SQL holds a NUL character.", "Take it out.")
    explain = EXPLAIN.match(sql)
    tree = _parse(session, sql[explain.end() :] if explain else sql, explain.end() if explain else 0)
    tables, lists = set[str](), False
    for part in _parts(tree):
        _refuse_what_writes(part)
        _refuse_functions(part)
        if part.get("type") == "BASE_TABLE":
            tables.add(_open_table(part))
        lists = lists or part.get("type") == "SHOW_REF"
    return Statement(sql, frozenset(tables), explain is not None, lists or not tables.isdisjoint(OPEN_SCHEMA_TABLES))


def place(sql: str, position: int) -> str:
    """Say where a position (in UTF-8 bytes) lies in the text, as a person counts."""
    before = sql.encode()[:position].decode(errors="ignore")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - (before.rfind(chr(10)) + 1) + 1}"


def _parse(session: duckdb.DuckDBPyConnection, sql: str, skipped: int) -> dict[str, Any]:
    rows = session.execute("SELECT json_serialize_sql($sql::VARCHAR)", {"sql": sql}).fetchall()
    tree: dict[str, Any] = orjson.loads(rows[0][0])
    if tree.get("error_type") == "parser":
        where = place(" " * skipped + sql, skipped + int(tree["position"])) if "position" in tree else "the text"
        raise InputError(f"The SQL cannot be read: {tree['error_message']}.", f"Look at {where}.")
    if tree.get("error"):
        if PIVOT.match(sql):
            raise InputError("PIVOT needs the values it makes columns of.", "Write them: PIVOT … ON column IN (…).")
        raise NotAllowedError("The lake is read only, and this statement is none it answers.", ASK)
    if len(tree["statements"]) != 1:
        raise InputError(f"The SQL holds {len(tree['statements'])} statements; one is needed.", ASK)
    return tree


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _refuse_what_writes(part: dict[str, Any]) -> None:
    kind = part.get("type")
    if "info_type" in part or (isinstance(kind, str) and kind.endswith("_NODE") and kind not in READING_NODES):
        raise NotAllowedError("The lake is read only, and a part of this statement writes.", ASK)


def _refuse_functions(part: dict[str, Any]) -> None:
    if part.get("type") == "TABLE_FUNCTION":
        name = str(part.get("function", {}).get("function_name")).lower()
        if name not in IN_A_TABLES_PLACE:
            raise NotAllowedError(f"{name[:64]}() is closed here: the lake reads its own tables only.", ASK)
    name = str(part.get("function_name") or "").lower()
    if name and name not in FUNCTIONS:
        do = "Use another one, or ask for the rows and work it out where you are; docs/lake.md says what is open."
        raise NotAllowedError(f"{name[:64]}() is none of the functions that are open here.", do)


def _open_table(part: dict[str, Any]) -> str:
    name, schema = str(part["table_name"]).lower(), str(part.get("schema_name", "")).lower()
    if FILE_NAME.search(name):
        raise NotAllowedError("Files are closed here: the lake reads its own tables only.", ASK)
    system = CLOSED_TABLES.fullmatch(name) or schema == "pg_catalog"
    if system or (schema == "information_schema" and name not in OPEN_SCHEMA_TABLES):
        raise NotAllowedError(f"The system table {name} is closed here.", "Use SHOW TABLES or DESCRIBE samples.")
    return name
