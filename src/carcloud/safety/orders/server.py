"""The order signers of a zone's tenants as a process of its own, behind a Unix socket.

Rules:
* A request names the tenant whose order signer it is for: each has keys, people and ledger of its own, and what is
  of one counts nothing with another.
* Who asks is known by the kernel (SO_PEERCRED): only the users that are named get an answer. By default that is the
  signer's own user. Being asked by them proves nothing more: what is signed rests on people's signatures alone.
* Request and answer: u32 length (big endian), then JSON. A request names its act and nothing else is understood.

Source: unix(7).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from carcloud.errors import CarcloudError, ConflictError, InputError, NotAllowedError
from carcloud.safety import sockets
from carcloud.safety.orders.authorisation import Signature
from carcloud.safety.orders.frames import LENGTH, LIMIT_REQUEST_BYTES, read_bytes, send, written
from carcloud.safety.orders.keys import OrderKeys, is_certified
from carcloud.safety.orders.ledger import Finished, Ledger
from carcloud.safety.orders.people import People
from carcloud.safety.orders.signer import OrderSigner
from carcloud.vehicle.batch import TOKEN

SOCKET = "order-signer"
LIMIT_CONNECTIONS = 64
ANSWER_TIMEOUT_S = 5.0
_PEER = struct.Struct("3i")

Act = Callable[[OrderSigner, dict[str, Any]], dict[str, Any]]


def order_signer(folder: Path) -> OrderSigner:
    """Return the order signer that lives in a folder which was certified; raise MissingError where it was not."""
    return OrderSigner(OrderKeys(folder), People(folder), Ledger(folder / "ledger.sqlite"))


class OrderSigners:
    """The order signers of tenants. One that is not known yet is looked for in the folder that `where` names."""

    def __init__(self, known: Iterable[OrderSigner], where: Callable[[str], Path] | None = None) -> None:
        self._known: dict[str, OrderSigner] = {}
        self._where, self._lock = where, threading.Lock()
        for signer in known:
            if signer.keys.tenant in self._known:
                raise ConflictError(f"Two folders are of tenant {signer.keys.tenant}.", "Give one for each tenant.")
            self._known[signer.keys.tenant] = signer

    def of(self, tenant: str) -> OrderSigner:
        """Return a tenant's order signer; raise NotAllowedError where it has none here."""
        with self._lock:
            if tenant not in self._known:
                self._known[tenant] = self._found(tenant)
            return self._known[tenant]

    def _found(self, tenant: str) -> OrderSigner:
        if self._where is not None and TOKEN.fullmatch(tenant) and is_certified(folder := self._where(tenant)):
            found = order_signer(folder)
            if found.keys.tenant == tenant:
                return found
            found.ledger.close()
        do = "Have its folder made: carcloud operator init, or the zone's next start."
        raise NotAllowedError(f"The order signer has no keys for tenant {tenant[:64]!r}.", do)

    def close(self) -> None:
        """Close the ledgers."""
        with self._lock:
            for signer in self._known.values():
                signer.ledger.close()


class OrderServer:
    """Answers on a listening socket, each connection in a thread, until closed."""

    def __init__(self, signers: OrderSigners, listener: socket.socket, users: Collection[int] = ()) -> None:
        self._signers, self._listener = signers, listener
        self._users = frozenset(users) or frozenset({os.getuid()})
        self._places = threading.Semaphore(LIMIT_CONNECTIONS)
        self._thread = threading.Thread(target=self._accept, name="order signer", daemon=True)
        self._acts: dict[str, Act] = {
            "check": _check,
            "begin": _begin,
            "open": _open,
            "forget": _forget,
            "sign": _sign,
            "result": _result,
            "pair": _pair,
            "people": _people,
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
        self._signers.close()

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
                (length,) = LENGTH.unpack(sockets.receive(connection, LENGTH.size))
                if length > LIMIT_REQUEST_BYTES:
                    break
                connection.settimeout(ANSWER_TIMEOUT_S)
                send(connection, self.answer(sockets.receive(connection, length)))
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
            act, tenant = self._acts[asked["act"]], str(asked["tenant"])
            return act(self._signers.of(tenant), asked)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError("The order signer does not understand this.", "Ask as docs/orders.md says.") from None


def _check(signer: OrderSigner, asked: dict[str, Any]) -> dict[str, Any]:
    _, people = signer.check(asked["text"].encode(), _signatures(asked))
    return {"people": [person.name for person in people]}


def _begin(signer: OrderSigner, asked: dict[str, Any]) -> dict[str, Any]:
    return {"message": written(signer.begin(str(asked["vehicle"]), int(asked["domain"]), str(asked["role"])))}


def _open(signer: OrderSigner, asked: dict[str, Any]) -> dict[str, Any]:
    signer.open(str(asked["vehicle"]), read_bytes(asked["message"]))
    return {}


def _forget(signer: OrderSigner, asked: dict[str, Any]) -> dict[str, Any]:
    signer.forget(str(asked["vehicle"]), int(asked["domain"]), str(asked["role"]))
    return {}


def _sign(signer: OrderSigner, asked: dict[str, Any]) -> dict[str, Any]:
    made = signer.sign(str(asked["vehicle"]), asked["text"].encode(), _signatures(asked))
    if isinstance(made, Finished):
        return {"finished": vars(made)}
    return {"message": None if made is None else written(made.encode())}


def _result(signer: OrderSigner, asked: dict[str, Any]) -> dict[str, Any]:
    return vars(signer.result(str(asked["vehicle"]), read_bytes(asked["message"])))


def _pair(signer: OrderSigner, asked: dict[str, Any]) -> dict[str, Any]:
    added = signer.people.take_pairing(str(asked["name"]), read_bytes(asked["point"]), read_bytes(asked["proof"]))
    return {"key": added.key, "roles": list(added.roles)}


def _people(signer: OrderSigner, _: dict[str, Any]) -> dict[str, Any]:
    return {"people": [vars(person) for person in signer.people.all()]}


def _signatures(asked: dict[str, Any]) -> list[Signature]:
    return [Signature(str(one["key"]), read_bytes(one["signature"])) for one in asked["signatures"]]
