"""The log's side of witnessing: asking those who cosign, and saying which of them does not.

Rules:
* A witness that is away or refuses holds the log up for a moment only, and is asked again a little later.
* After a while without its cosignature an alarm stands, with what it answered.

Source: c2sp.org/tlog-witness.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from carcloud.errors import ConflictError, InputError, TryLaterError
from carcloud.safety.audit.door import PATH
from carcloud.safety.audit.note import Checkpoint, Key, Line, Note, parse_key, parse_lines
from carcloud.safety.audit.tiles import Tiles
from carcloud.safety.audit.tree import consistency_proof
from carcloud.safety.sockets import socket_path

UNWITNESSED = "audit_unwitnessed"
TIMEOUT_S = 1.5
ASK_AGAIN_S = 3.0
ALARM_AFTER_S = 10.0
ROUNDS = 3
BUILT_IN = "witness"


class WitnessClient:
    """One witness, by its address and key. `post(body)` sends a request; raise httpx.HTTPError where none answers."""

    def __init__(self, key: Key, post: Callable[[bytes], httpx.Response]) -> None:
        self.key, self._post = key, post
        self._known = 0

    def ask(self, note: Note, checkpoint: Checkpoint, tiles: Tiles) -> Line:
        """Return the witness's cosignature.

        Raises:
            ConflictError: it refuses. TryLaterError: it is away.
        """
        for _ in range(ROUNDS):
            proof = consistency_proof(self._known, checkpoint.size, tiles.hash_of(checkpoint.size))
            lines = [f"old {self._known}", *(base64.b64encode(step).decode() for step in proof), ""]
            try:
                answer = self._post("".join(f"{line}\n" for line in lines).encode() + bytes(note))
            except (httpx.HTTPError, OSError) as error:
                raise TryLaterError(f"The witness {self.key.name} is away: {type(error).__name__}.") from None
            if answer.status_code == 200:
                self._known = checkpoint.size
                return self._line(note, answer.text)
            if answer.status_code != 409:
                raise ConflictError(f"The witness {self.key.name} refuses, with status {answer.status_code}.")
            self._known = self._older(answer.text, checkpoint.size)
        raise ConflictError(f"The witness {self.key.name} contradicts itself.")

    def _line(self, note: Note, text: str) -> Line:
        try:
            line = Note(note.text, parse_lines(text)).of(self.key)
        except InputError as error:
            raise ConflictError(error.message) from None
        if line is None:
            raise ConflictError(f"The witness {self.key.name} signs with another key.")
        return line

    def _older(self, text: str, size: int) -> int:
        known = int(text) if text.strip().isdecimal() else -1
        if not 0 <= known <= size or known == self._known:
            have = "another history" if known == self._known else f"{text.strip()[:20]} leaves"
            raise ConflictError(f"The witness {self.key.name} has seen {have}, where this log has {size} leaves.")
        return known


class Witnesses:
    """All witnesses of the log. Call it with a checkpoint: it returns the cosignatures that are still missing."""

    def __init__(self, clients: Sequence[WitnessClient]) -> None:
        self._clients = list(clients)
        self._ask_at = {client.key: 0.0 for client in clients}
        self._trouble: dict[Key, tuple[float, str]] = {}

    def __call__(self, note: Note, checkpoint: Checkpoint, tiles: Tiles) -> list[Line]:
        """Ask each witness that has not cosigned, unless it was in trouble a moment ago."""
        lines = []
        for client in self._clients:
            key = client.key
            if note.of(key) or time.monotonic() < self._ask_at[key]:
                continue
            try:
                lines.append(client.ask(note, checkpoint, tiles))
                self._trouble.pop(key, None)
            except (ConflictError, TryLaterError) as error:
                self._ask_at[key] = time.monotonic() + ASK_AGAIN_S
                since = self._trouble.get(key, (time.time(), ""))[0]
                self._trouble[key] = (since, error.message)
        return lines

    def alarms(self) -> list[dict[str, str]]:
        """Return an alarm for each witness that has not cosigned for a while."""
        return [
            {
                "code": UNWITNESSED,
                "message": f"The audit log goes on without a witness. {said}",
                "do": "See that the witness runs and knows the log's key. Where it has seen another history, "
                "the log or its folder was put back or changed: find out by whom.",
                "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since)),
            }
            for since, said in self._trouble.values()
            if time.time() - since > ALARM_AFTER_S
        ]


def built_in(run: Path, state: Path) -> WitnessClient:
    """Return the zone's own witness, which listens in the run folder. Raise TryLaterError until it has made its key."""
    try:
        key = parse_key((state / "witness.pub").read_text())
    except FileNotFoundError:
        raise TryLaterError("The zone's witness has not begun yet.", "It is started by the zone.") from None

    def post(body: bytes) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(socket_path(run, BUILT_IN)), verify=False)
        with httpx.Client(transport=transport, timeout=TIMEOUT_S, trust_env=False) as client:
            return client.post(f"http://witness{PATH}", content=body)

    return WitnessClient(key, post)


def elsewhere(text: str) -> WitnessClient:
    """Return a witness as the settings name it: its address, a blank, and its key. Raise InputError."""
    address, _, key = text.strip().partition(" ")
    url = httpx.URL(address)
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(f"{address!r} is no address of a witness.", 'Write "https://HOST:PORT NAME+ID+KEY".')
    client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def post(body: bytes) -> httpx.Response:
        return client.post(f"{address.rstrip('/')}{PATH}", content=body)

    return WitnessClient(parse_key(key), post)
