"""The signer: a process of its own that holds the zone's signing keys, so that no other process can lose them.

Rules:
* It signs what it is asked to, but only as one of a closed set of kinds, and says the kind in what is signed:
  a signature made for one purpose is worthless for another. A checkpoint alone is signed as it is, since others
  read it who know no kinds; the signer therefore signs only what is a checkpoint of this zone's log.
* What is no signature over bytes, such as issuing a certificate, is a kind of its own that answers with bytes.
* Only the zone's own user can reach it: a Unix socket, mode 0600, in a folder of mode 0700.
* Request: u32 length (big endian), u8 length of the kind, kind, payload. Answer: u32 length, then b"+", 16 characters
  of key id and the 64-byte signature (or what the kind answers with), or b"-" and a sentence.

Source: RFC 8032 (Ed25519); c2sp.org/signed-note (checkpoints).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from carcloud.errors import CarcloudError, InputError, TryLaterError
from carcloud.safety import sockets
from carcloud.safety.audit.note import origin_of, parse_checkpoint
from carcloud.safety.keys import private_folder, read_or_make_key, write_file

Kind = Literal["receipt", "checkpoint", "erasure", "backup", "ledger", "candidate"]
KINDS: tuple[str, ...] = get_args(Kind)
CHECKPOINT = "checkpoint"
SOCKET = "signer"

Answer = Callable[[bytes], bytes]
"""What the signer does with a payload of another kind; it raises a CarcloudError where it will not."""

LIMIT_PAYLOAD_BYTES = 1024 * 1024
LIMIT_ANSWER_BYTES = 64 * 1024

ANSWER_TIMEOUT_S = 5.0
IDLE_READ_TIMEOUT_S = 5.0
_LENGTH = struct.Struct(">I")
_KEY_ID_BYTES = 16


@dataclass(frozen=True)
class Signature:
    """A signature, 64 bytes, and the id of the key that made it, 16 hexadecimal digits."""

    key_id: str
    value: bytes


def statement(kind: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: the payload under the name of its kind, and a checkpoint as it is."""
    if kind == CHECKPOINT:
        return payload
    return f"carcloud/{kind}/v1\n".encode() + payload


def key_id(key: Ed25519PublicKey) -> str:
    """Return the id of a public key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_KEY_ID_BYTES]


def verify(public_key: Ed25519PublicKey, kind: str, payload: bytes, signature: bytes) -> bool:
    """Say whether this key signed this payload as this kind."""
    try:
        public_key.verify(signature, statement(kind, payload))
    except InvalidSignature:
        return False
    return True


class Verifier:
    """Tells whether the zone's signer made a signature of one kind; reads the public key when first asked."""

    def __init__(self, keys: Path, kind: Kind) -> None:
        self._file, self._kind = keys / f"{kind}.pub", kind
        self._key: Ed25519PublicKey | None = None

    def __call__(self, payload: bytes, signature: bytes) -> bool:
        """Say whether the signer signed this. Raise InputError where there is no public key."""
        if self._key is None:
            self._key = load_public_key(self._file)
        return verify(self._key, self._kind, payload, signature)


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key file such as `keys/receipt.pub`; raise InputError where it is none."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no public key: {error}.", "Give the zone's keys/receipt.pub.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path} holds no Ed25519 key.", "Give the zone's keys/receipt.pub.")
    return key


class Signer:
    """The signing process: `await open()`, then it answers until `await close()`. One a zone.

    The keys are `keys/{kind}.key`, made on first use, with `keys/{kind}.pub` beside them. `zone`: the one whose
    checkpoints it signs. `others`: what it answers beside signatures, by kind.
    """

    def __init__(self, keys: Path, run: Path, zone: str = "local", others: Mapping[str, Answer] | None = None) -> None:
        self._others = dict(others or {})
        self._run, self._origin = private_folder(run), origin_of(zone)
        self._keys = {kind: _signing_key(private_folder(keys), kind) for kind in KINDS}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Listen on the run folder's socket."""
        self._server = await asyncio.start_unix_server(self._converse, sock=sockets.bound_socket(self._run, SOCKET))

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._server is not None:
            self._server.close()
            for connection in self._connections:
                connection.close()
            await self._server.wait_closed()
            sockets.remove_socket(self._run, SOCKET)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if length > LIMIT_PAYLOAD_BYTES + 256:
                    _send(writer, b"-the request is too long")
                    break
                async with asyncio.timeout(IDLE_READ_TIMEOUT_S):
                    request = await reader.readexactly(length)
                _send(writer, self.answer(request))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass  # the client left, which is how each conversation ends
        finally:
            self._connections.discard(writer)
            writer.close()

    def answer(self, request: bytes) -> bytes:
        """Answer one request: sign, or say why not."""
        end = 1 + request[0] if request else 1
        key = self._keys.get(request[1:end].decode("ascii", "replace"))
        payload = request[end:]
        if (other := self._others.get(request[1:end].decode("ascii", "replace"))) is not None:
            return _answered(other, payload)
        if key is None or len(payload) > LIMIT_PAYLOAD_BYTES:
            return b"-only known kinds are signed, and at most 1 MiB"
        if request[1:end] == CHECKPOINT.encode() and not self._is_checkpoint(payload):
            return b"-only a checkpoint of this zone's log is signed as one"
        made = _signed(key, request[1:end].decode("ascii"), payload)
        return b"+" + made.key_id.encode() + made.value

    def sign(self, kind: Kind, payload: bytes) -> Signature:
        """Sign in this very process: for whoever may read the keys, beside a zone that does not run."""
        return _signed(self._keys[kind], kind, payload)

    def _is_checkpoint(self, payload: bytes) -> bool:
        try:
            found = parse_checkpoint(payload.decode())
        except (InputError, UnicodeDecodeError):
            return False
        return found.origin == self._origin and found.text().encode() == payload


class SignerClient:
    """Asks the signer. Safe to share between threads; finds the signer again after it restarted."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def sign(self, kind: Kind, payload: bytes) -> Signature:
        """Return a signature over a payload of at most 1 MiB.

        Raises:
            InputError: the signer will not sign this.
            TryLaterError: the signer is away.
        """
        if len(payload) > LIMIT_PAYLOAD_BYTES:
            raise InputError(f"{len(payload)} bytes are too many to sign.", "Sign a hash of them.")
        answer = self.ask(kind, payload)
        return Signature(answer[:_KEY_ID_BYTES].decode(), answer[_KEY_ID_BYTES:])

    def ask(self, kind: str, payload: bytes) -> bytes:
        """Return what the signer answers to a payload of this kind; raise as `sign` does."""
        answer = self._ask(bytes([len(kind)]) + kind.encode() + payload)
        if answer[:1] != b"+":
            raise InputError(f"The signer refused: {answer[1:].decode('utf-8', 'replace')}.")
        return answer[1:]

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    def _ask(self, request: bytes) -> bytes:
        with self._lock:
            if self._connection is not None:
                try:
                    return self._exchange(self._connection, request)
                except OSError:
                    self._hang_up()  # it restarted: once more, on a new connection
            try:
                self._connection = self._connect()
                return self._exchange(self._connection, request)
            except OSError as error:
                self._hang_up()
                do = "It is restarted by the zone; if it stays away, look at its log."
                raise TryLaterError(f"The signer cannot be reached: {error}.", do) from None

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_TIMEOUT_S)
        path = socket_path(self._run)
        try:
            if path.stat().st_uid != os.getuid():
                raise ConnectionError(f"{path} belongs to another user")
            connection.connect(str(path))
        except OSError:
            connection.close()
            raise
        return connection

    def _exchange(self, connection: socket.socket, request: bytes) -> bytes:
        connection.sendall(_LENGTH.pack(len(request)) + request)
        (length,) = _LENGTH.unpack(sockets.receive(connection, _LENGTH.size))
        return sockets.receive(connection, min(length, LIMIT_ANSWER_BYTES))

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def socket_path(run: Path) -> Path:
    """Return where the signer of this run folder listens."""
    return sockets.socket_path(run, SOCKET)


def _signing_key(keys: Path, kind: str) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.from_private_bytes(
        read_or_make_key(keys / f"{kind}.key", lambda: Ed25519PrivateKey.generate().private_bytes_raw())
    )
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_file(keys / f"{kind}.pub", pem, 0o644)
    return key


def _signed(key: Ed25519PrivateKey, kind: str, payload: bytes) -> Signature:
    return Signature(key_id(key.public_key()), key.sign(statement(kind, payload)))


def _answered(other: Answer, payload: bytes) -> bytes:
    try:
        return b"+" + other(payload)
    except CarcloudError as error:
        return b"-" + error.message.rstrip(".").encode()


def _send(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(_LENGTH.pack(len(answer)) + answer)
