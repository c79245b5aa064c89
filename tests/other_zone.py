"""Another zone for tests: a server that gives pages of a flow as a zone does, or says whatever a test has it say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pyarrow as pa

from carcloud.safety.flows.reader import ARROW, SCHEMA, UNITS

Row = tuple[str, str, datetime, float | None, str | None, str]
Answer = tuple[int, dict[str, str], bytes]

FLOW_UNITS = {
    "Vehicle.Speed": "km/h",
    "Vehicle.CurrentLocation.Latitude": "degrees",
    "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current": "percent",
}


def arrow(
    rows: list[Row], units: Any = FLOW_UNITS, schema: pa.Schema = SCHEMA, compression: str | None = None
) -> bytes:
    """Return rows as a zone writes them."""
    columns = [pa.array([row[at] for row in rows], schema.field(at).type) for at in range(len(schema))]
    table = pa.table(columns, schema=schema.with_metadata({UNITS: orjson.dumps(units)}))
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


class OtherZone:
    """A zone whose flow has `pages`; `place` n is behind page n. `say` answers instead, where it is set."""

    def __init__(self) -> None:
        self.pages: list[list[Row]] = []
        self.say: Callable[[dict[str, Any]], Answer] | None = None
        self.asked: list[dict[str, Any]] = []
        self.token = "cct_" + "x" * 40

    def answer(self, question: dict[str, Any]) -> Answer:
        """Answer a question as a zone does, one page at a time."""
        self.asked.append(question)
        if self.say is not None:
            return self.say(question)
        after = int(question.get("after", "p0")[1:])
        upto = min(int(question.get("upto", "p9999999")[1:]), len(self.pages))
        rows = self.pages[after] if after < upto else []
        return page(rows, f"p{min(after + 1, max(upto, after))}", after + 1 < upto)

    @property
    def rows(self) -> int:
        """How many rows its flow has."""
        return sum(map(len, self.pages))


def page(rows: list[Row], next_: str, more: bool = False, **how: Any) -> Answer:
    """Return an answer with rows."""
    return 200, {"x-carcloud-next": next_, "x-carcloud-more": str(more).lower()}, arrow(rows, **how)


def refusal(status: int, code: str, message: str) -> Answer:
    """Return an answer as a zone refuses."""
    return status, {}, orjson.dumps({"error": {"code": code, "message": message, "do": "Ask."}})


def row(car: str, second: int, value: float | None, signal: str = "Vehicle.Speed", text: str | None = None) -> Row:
    """Return a row of so many seconds after a full hour some time ago."""
    at = datetime.fromtimestamp(1_790_000_000 // 3600 * 3600 + second, UTC)
    return car, signal, at, value, text, "measured"


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that hang up."""


@contextmanager
def other_zone() -> Iterator[tuple[OtherZone, str]]:
    """Serve another zone; give it and its address."""
    zone = OtherZone()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            allowed = self.headers["authorization"] == f"Bearer {zone.token}" and self.headers["accept"] == ARROW
            status, headers, body = zone.answer(question) if allowed else refusal(401, "not_allowed", "Who are you?")
            self.send_response(status)
            for name, value in (headers | {"content-length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield zone, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
