"""How others ask the order signers: one connection, and each tenant's by its name.

Rules:
* Every request names the tenant it is for. What a tenant's order signer signs counts with this tenant's cars alone.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from carcloud.errors import FAMILIES, CarcloudError, InputError, TryLaterError
from carcloud.safety import sockets
from carcloud.safety.orders.frames import LENGTH, LIMIT_REQUEST_BYTES, read_bytes, send, written
from carcloud.safety.orders.ledger import Finished
from carcloud.safety.orders.signer import Outcome

ANSWER_TIMEOUT_S = 5.0


class TenantSigner:
    """The way to one tenant's order signer."""

    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask

    def check(self, text: str, signatures: Sequence[Mapping[str, str]]) -> list[str]:
        """Return who signed an authorisation, if it may be carried out; raise InputError or NotAllowedError."""
        people: list[str] = self._ask("check", text=text, signatures=list(signatures))["people"]
        return people

    def begin(self, vehicle: str, domain: int, role: str) -> bytes:
        """Return the message that asks a car for a session."""
        return read_bytes(self._ask("begin", vehicle=vehicle, domain=domain, role=role)["message"])

    def open(self, vehicle: str, message: bytes) -> None:
        """Give the signer a car's answer to a challenge; raise NotAllowedError."""
        self._ask("open", vehicle=vehicle, message=written(message))

    def forget(self, vehicle: str, domain: int, role: str) -> None:
        """Have a session begun anew at the next order."""
        self._ask("forget", vehicle=vehicle, domain=domain, role=role)

    def sign(self, vehicle: str, text: str, signatures: Sequence[Mapping[str, str]]) -> bytes | Finished | None:
        """Return the signed order, what became of it, or None where a session is needed."""
        found = self._ask("sign", vehicle=vehicle, text=text, signatures=list(signatures))
        if "finished" in found:
            return Finished(**found["finished"])
        return None if found["message"] is None else read_bytes(found["message"])

    def result(self, vehicle: str, message: bytes) -> Outcome:
        """Return what a car says of an order; raise NotAllowedError or MissingError."""
        return Outcome(**self._ask("result", vehicle=vehicle, message=written(message)))

    def pair(self, name: str, point: str, proof: str) -> dict[str, Any]:
        """Register a browser's key by its one-time code; raise NotAllowedError."""
        return self._ask("pair", name=name, point=point, proof=proof)

    def people(self) -> list[dict[str, Any]]:
        """Return the registered keys; none of it is secret."""
        found: list[dict[str, Any]] = self._ask("people")["people"]
        return found


class OrderSignerClient:
    """Asks the order signers. Safe to share between threads; finds it again after it restarted."""

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def of(self, tenant: str) -> TenantSigner:
        """Return the way to a tenant's order signer."""
        return TenantSigner(partial(self._ask, tenant))

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    def _ask(self, tenant: str, act: str, **given: object) -> dict[str, Any]:
        request = json.dumps({"act": act, "tenant": tenant} | given).encode()
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
    send(connection, request)
    (length,) = LENGTH.unpack(sockets.receive(connection, LENGTH.size))
    return sockets.receive(connection, min(length, LIMIT_REQUEST_BYTES))
