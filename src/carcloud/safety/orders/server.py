"""The order signer as a process of its own, behind a Unix socket; and how others ask it.

Rules:
* Who asks is known by the kernel (SO_PEERCRED): only the users that are named get an answer. By default that is the
  signer's own user. Being asked by them proves nothing more: what is signed rests on people's signatures alone.
* Request and answer: u32 length (big endian), then JSON. A request names its act and nothing else is understood.

Source: unix(7).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from carcloud.errors import FAMILIES, CarcloudError, InputError, TryLaterError
from carcloud.safety.orders.authorisation import Signature
from carcloud.safety.orders.keys import OrderKeys
from carcloud.safety.orders.ledger import Finished, Ledger
from carcloud.safety.orders.people import People
from carcloud.safety.orders.signer import OrderSigner, Outcome

SOCKET = "order-signer"
LIMIT_REQUEST_BYTES = 1024 * 1024
LIMIT_CONNECTIONS = 64
ANSWER_TIMEOUT_S = 5.0
_LENGTH, _PEER = struct.Struct(">I"), struct.Struct("3i")

Act = Callable[[dict[str, Any]], dict[str, Any]]


def order_signer(folder: Path) -> OrderSigner:
    """Return the order signer that lives in a folder which was certified; raise MissingError where it was not."""
    return OrderSigner(OrderKeys(folder), People(folder), Ledger(folder / "ledger.sqlite"))


class OrderServer:
    """Answers on a listening socket, each connection in a thread, until closed."""

    def __init__(self, signer: OrderSigner, listener: socket.socket, users: Collection[int] = ()) -> None:
        self._signer, self._listener = signer, listener
        self._users = frozenset(users) or frozenset({os.getuid()})
        self._places = threading.Semaphore(LIMIT_CONNECTIONS)
        self._thread = threading.Thread(target=self._accept, name="order signer", daemon=True)
        self._acts: dict[str, Act] = {
            "check": self._check,
            "begin": self._begin,
            "open": self._open,
            "forget": self._forget,
            "sign": self._sign,
            "result": self._result,
            "pair": self._pair,
            "people": self._people,
        }

    def start(self) -> None:
        """Begin to answer."""
        self._listener.listen(LIMIT_CONNECTIONS)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._signer.ledger.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if not self._known(connection) or not self._places.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _known(self, connection: socket.socket) -> bool:
        _, user, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        return user in self._users

    def _converse(self, connection: socket.socket) -> None:
        try:
            while True:
                connection.settimeout(None)
                (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size))
                if length > LIMIT_REQUEST_BYTES:
                    break
                connection.settimeout(ANSWER_TIMEOUT_S)
                _send(connection, self.answer(_receive(connection, length)))
        except OSError:
            pass  # the client left, which is how each conversation ends
        finally:
            connection.close()
            self._places.release()

    def answer(self, request: bytes) -> bytes:
        """Answer one request, or say why not."""
        try:
            return json.dumps({"ok": self._acts_on(request)}).encode()
        except CarcloudError as error:
            return json.dumps({"error": {"code": error.code, "message": error.message, "do": error.do}}).encode()

    def _acts_on(self, request: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(request)
            return self._acts[asked["act"]](asked)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError("The order signer does not understand this.", "Ask as docs/orders.md says.") from None

    def _check(self, asked: dict[str, Any]) -> dict[str, Any]:
        _, people = self._signer.check(asked["text"].encode(), _signatures(asked))
        return {"people": [person.name for person in people]}

    def _begin(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"message": _text(self._signer.begin(str(asked["vehicle"]), int(asked["domain"]), str(asked["role"])))}

    def _open(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._signer.open(str(asked["vehicle"]), _bytes(asked["message"]))
        return {}

    def _forget(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._signer.forget(str(asked["vehicle"]), int(asked["domain"]), str(asked["role"]))
        return {}

    def _sign(self, asked: dict[str, Any]) -> dict[str, Any]:
        made = self._signer.sign(str(asked["vehicle"]), asked["text"].encode(), _signatures(asked))
        if isinstance(made, Finished):
            return {"finished": vars(made)}
        return {"message": None if made is None else _text(made.encode())}

    def _result(self, asked: dict[str, Any]) -> dict[str, Any]:
        return vars(self._signer.result(str(asked["vehicle"]), _bytes(asked["message"])))

    def _pair(self, asked: dict[str, Any]) -> dict[str, Any]:
        added = self._signer.people.take_pairing(str(asked["name"]), _bytes(asked["point"]), _bytes(asked["proof"]))
        return {"key": added.key, "roles": list(added.roles)}

    def _people(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"people": [vars(person) for person in self._signer.people.all()]}


class OrderSignerClient:
    """Asks the order signer. Safe to share between threads; finds it again after it restarted."""

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def check(self, text: str, signatures: Sequence[Mapping[str, str]]) -> list[str]:
        """Return who signed an authorisation, if it may be carried out; raise InputError or NotAllowedError."""
        people: list[str] = self._ask("check", text=text, signatures=list(signatures))["people"]
        return people

    def begin(self, vehicle: str, domain: int, role: str) -> bytes:
        """Return the message that asks a car for a session."""
        return _bytes(self._ask("begin", vehicle=vehicle, domain=domain, role=role)["message"])

    def open(self, vehicle: str, message: bytes) -> None:
        """Give the signer a car's answer to a challenge; raise NotAllowedError."""
        self._ask("open", vehicle=vehicle, message=_text(message))

    def forget(self, vehicle: str, domain: int, role: str) -> None:
        """Have a session begun anew at the next order."""
        self._ask("forget", vehicle=vehicle, domain=domain, role=role)

    def sign(self, vehicle: str, text: str, signatures: Sequence[Mapping[str, str]]) -> bytes | Finished | None:
        """Return the signed order, what became of it, or None where a session is needed."""
        found = self._ask("sign", vehicle=vehicle, text=text, signatures=list(signatures))
        if "finished" in found:
            return Finished(**found["finished"])
        return None if found["message"] is None else _bytes(found["message"])

    def result(self, vehicle: str, message: bytes) -> Outcome:
        """Return what a car says of an order; raise NotAllowedError or MissingError."""
        return Outcome(**self._ask("result", vehicle=vehicle, message=_text(message)))

    def pair(self, name: str, point: str, proof: str) -> dict[str, Any]:
        """Register a browser's key by its one-time code; raise NotAllowedError."""
        return self._ask("pair", name=name, point=point, proof=proof)

    def people(self) -> list[dict[str, Any]]:
        """Return the registered keys; none of it is secret."""
        found: list[dict[str, Any]] = self._ask("people")["people"]
        return found

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    def _ask(self, act: str, **given: object) -> dict[str, Any]:
        request = json.dumps({"act": act} | given).encode()
        if len(request) > LIMIT_REQUEST_BYTES:
            raise InputError("This is too much to be signed at once.", "Order fewer cars at a time.")
        answer = json.loads(self._exchange_again(request))
        if error := answer.get("error"):
            raise FAMILIES.get(error["code"], CarcloudError)(error["message"], error["do"])
        found: dict[str, Any] = answer["ok"]
        return found

    def _exchange_again(self, request: bytes) -> bytes:
        with self._lock:
            if self._connection is not None:
                try:
                    return _exchange(self._connection, request)
                except OSError:
                    self._hang_up()  # it restarted: once more, on a new connection
            try:
                self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._connection.settimeout(ANSWER_TIMEOUT_S)
                self._connection.connect(str(self._path()))
                return _exchange(self._connection, request)
            except OSError as error:
                self._hang_up()
                do = "See that it runs, and that this user is one it answers."
                raise TryLaterError(f"The order signer cannot be reached: {error}.", do) from None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    _send(connection, request)
    (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size))
    return _receive(connection, min(length, LIMIT_REQUEST_BYTES))


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(data)) + data)


def _receive(connection: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("it hung up")
        parts += part
    return parts


def _signatures(asked: dict[str, Any]) -> list[Signature]:
    return [Signature(str(one["key"]), _bytes(one["signature"])) for one in asked["signatures"]]


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
