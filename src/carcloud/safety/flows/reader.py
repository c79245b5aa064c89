"""Reading another zone's flow over HTTP: one page of rows after another, and what is said where there is none.

Rules:
* The token goes to an address over TLS, or within one machine, and nowhere else: no redirect is followed.
* The other zone is believed nothing: an answer is bounded before it is read, and has the columns of a flow or is none.
* What the other zone says of a refusal is shown as text, cut short.

Source: docs/flows.md.
"""

from __future__ import annotations

import re
import ssl
import struct
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pyarrow as pa

from carcloud.errors import FAMILIES, CarcloudError, ConflictError, InputError, TryLaterError
from carcloud.safety.flows.replica import safe

ARROW = "application/vnd.apache.arrow.stream"
UNITS = b"units"
TIMEOUT_S, LIMIT_ANSWER_S = 120.0, 300.0
LIMIT_ANSWER_BYTES = 128 * 1024 * 1024
LIMIT_PLACE = 4096
LIMIT_SAID = 300

SCHEMA = pa.schema(
    [
        ("vehicle", pa.string()),
        ("signal", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("provenance", pa.string()),
    ]
)
"""What a page's rows say."""


class NonsenseError(ConflictError):
    """The other zone answered something that is no page of a flow."""

    code = "nonsense"


class RefusedError(CarcloudError):
    """The other zone refused; message and advice are its own."""

    code = "refused"


@dataclass(frozen=True)
class Page:
    """Rows of a flow. `next`: the place they end at; `more`: whether more follow. `units`: of signals in the rows."""

    rows: pa.Table
    next: str
    more: bool
    units: dict[str, str | None]


class FlowReader:
    """Reads one flow of the zone at an address. Close it when done; waits for the network: call it in a thread."""

    def __init__(self, url: str, flow: str, secret: str, ca: str = "") -> None:
        """Raise InputError where the address is not safe, or the authority's file is none."""
        if not safe(url):
            raise InputError("A token and people's data do not travel in clear.", "Give an address with https.")
        try:
            trust: Any = ssl.create_default_context(cafile=ca) if ca else True
        except (OSError, ssl.SSLError):
            raise InputError(f"{ca} is no certificate of an authority.", "Give a PEM file.") from None
        headers = {"authorization": f"Bearer {_printable(secret)}", "accept": ARROW, "accept-encoding": "identity"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, verify=trust, trust_env=False)
        self._path, self._url = f"/v1/flows/{quote(flow, safe='')}/read", url

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def page(self, question: dict[str, Any]) -> Page:
        """Return the next page: `question` as `POST /v1/flows/{flow}/read` has it, with a `limit`.

        Raises:
            TryLaterError: nobody answers. RefusedError: the zone refuses. NonsenseError: what it says is no page.
        """
        try:
            with self._http.stream("POST", self._path, json=question) as answer:
                content = self._content(answer)
        except httpx.TransportError as error:
            do = "Check the address, and that the zone runs."
            raise TryLaterError(f"The zone at {self._url} does not answer ({type(error).__name__}).", do) from None
        if answer.status_code >= 500:
            raise TryLaterError(f"{self._url} answered {answer.status_code}.", "Ask who runs it, if it stays so.")
        if answer.status_code != 200:
            raise self._refusal(answer.status_code, content)
        return self._page(answer.headers, content, int(question["limit"]))

    def _content(self, answer: httpx.Response) -> bytes:
        parts, size, deadline = [], 0, time.monotonic() + LIMIT_ANSWER_S
        for part in answer.iter_raw():
            size += len(part)
            if time.monotonic() > deadline:
                raise TryLaterError(f"{self._url} answers too slowly.", "Ask who runs it.")
            if size > LIMIT_ANSWER_BYTES:
                raise self._nonsense(f"more than {LIMIT_ANSWER_BYTES >> 20} MiB")
            parts.append(part)
        return b"".join(parts)

    def _refusal(self, status: int, content: bytes) -> CarcloudError:
        try:
            said = orjson.loads(content)["error"]
            code, message, do = (_cut(said[key]) for key in ("code", "message", "do"))
        except (ValueError, KeyError, TypeError):
            return self._nonsense(f"the status {status}")
        family = FAMILIES.get(code)
        if family is not None and issubclass(family, TryLaterError):
            return TryLaterError(message, do)
        return RefusedError(message, do)

    def _page(self, headers: httpx.Headers, content: bytes, limit: int) -> Page:
        next_, more = headers.get("x-carcloud-next", ""), headers.get("x-carcloud-more")
        if not re.fullmatch(rf"[A-Za-z0-9_=-]{{1,{LIMIT_PLACE}}}", next_) or more not in ("true", "false"):
            raise self._nonsense("no place to go on from")
        try:
            rows = self._rows(content, limit)
            units = orjson.loads((rows.schema.metadata or {}).get(UNITS, b""))
        except (pa.ArrowException, OSError, ValueError, StopIteration, struct.error):
            raise self._nonsense("no Arrow stream with units") from None
        if not isinstance(units, dict) or not all(unit is None or isinstance(unit, str) for unit in units.values()):
            raise self._nonsense("units that are none")
        return Page(rows, next_, more == "true", units)

    def _rows(self, content: bytes, limit: int) -> pa.Table:
        messages = pa.ipc.MessageReader.open_stream(content)
        schema, batches, rows = pa.ipc.read_schema(messages.read_next_message()), [], 0
        if not schema.remove_metadata().equals(SCHEMA):
            raise self._nonsense("other columns than a flow's")
        for message in messages:
            if message.type != "record batch" or _compressed(message.metadata.to_pybytes()):
                raise self._nonsense("something packed")  # a few bytes could unpack to all our memory
            batch = pa.ipc.read_record_batch(message, schema)
            batch.validate(full=True)
            rows += batch.num_rows
            if rows > limit:
                raise self._nonsense(f"more rows than the {limit} that were asked for")
            batches.append(batch)
        table = pa.Table.from_batches(batches, schema)
        if any(table[name].null_count for name in ("vehicle", "signal", "time", "provenance")):
            raise self._nonsense("rows without a car, a signal or a time")
        return table

    def _nonsense(self, what: str) -> NonsenseError:
        return NonsenseError(f"{self._url} answered with {what}.", "Check that the address is a carcloud zone's.")


def _compressed(message: bytes) -> bool:
    """Tell whether the buffers of a record batch are compressed, by its head, a flatbuffer.

    Source: Apache Arrow, format/Message.fbs: Message.header is field 2, RecordBatch.compression field 3.
    """

    def field(table: int, number: int) -> int:
        """Return where a field of a table lies, 0 where the table has none."""
        vtable = table - struct.unpack_from("<i", message, table)[0]
        slot = 4 + 2 * number
        inside = slot < struct.unpack_from("<H", message, vtable)[0]
        offset = struct.unpack_from("<H", message, vtable + slot)[0] if inside else 0
        return table + offset if offset else 0

    def follow(place: int) -> int:
        return place + int(struct.unpack_from("<I", message, place)[0])

    header = field(follow(0), 2)
    return header == 0 or field(follow(header), 3) != 0


def _printable(secret: str) -> str:
    if not re.fullmatch(r"[!-~]{1,512}", secret):
        raise InputError("The token is none.", "Write the token that the other zone gave out into the file.")
    return secret


def _cut(said: object) -> str:
    if not isinstance(said, str):
        raise TypeError
    return "".join(letter for letter in said if letter.isprintable())[:LIMIT_SAID]
