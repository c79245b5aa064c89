"""The auth callout: the broker asks about every new MQTT connection, and gets a signed answer.

Rules:
* Only MQTT connections with a verified certificate are granted anything; cloud processes are users of the broker's
  own configuration and never come here.
* The MQTT client id must be the vehicle's id, else one car could take over another's session.
* A quarantined car is granted its hello and what it is told, and nothing else.
* A grant names the car's own subjects and nothing else, and ends after some hours, spread so that cars do not
  come back all at once. Revocation closes the session at once; the end is the second line.
* A refusal's text carries no personal data, since it reaches the broker's log.

Source: NATS ADR-26 (auth callout); JWT header and claims as nats-io/jwt v2 reads them.
"""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkeys
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.errors import CarcloudError, InputError, NotAllowedError
from carcloud.gateway.clones import Coming
from carcloud.gateway.gate import Gate, Guest
from carcloud.safety.keys import private_folder, read_or_make_key
from carcloud.stream.subjects import KINDS, RESULT

ACCOUNT = "VEHICLES"
GRANT_S = (2 * 3600, 4 * 3600)
LIMIT_SUBSCRIPTIONS = 20
HELLO = "event"
"""The only kind that a quarantined car may publish."""

_HEADER = base64.urlsafe_b64encode(b'{"typ":"JWT","alg":"ed25519-nkey"}').rstrip(b"=") + b"."


class AccountKey:
    """The key that signs grants, `keys/account.seed`, made on first use. The broker knows `public` as its issuer."""

    def __init__(self, keys: Path) -> None:
        seed = read_or_make_key(private_folder(keys) / "account.seed", _new_seed)
        self.public: str = nkeys.from_seed(seed).public_key.decode()
        self._key = Ed25519PrivateKey.from_private_bytes(nkeys.decode_seed(seed)[1])

    def token(self, claims: dict[str, Any]) -> str:
        """Return the claims as a signed JWT."""
        issued = claims | {"iss": self.public, "jti": os.urandom(16).hex()}
        body = _HEADER + base64.urlsafe_b64encode(orjson.dumps(issued)).rstrip(b"=")
        return (body + b"." + base64.urlsafe_b64encode(self._key.sign(body)).rstrip(b"=")).decode()


class Callout:
    """Answers the broker. Subscribe `answer` to $SYS.REQ.USER.AUTH in a queue group; any number may answer."""

    def __init__(
        self,
        gate: Gate,
        key: AccountKey,
        clock: Callable[[], float] = time.time,
        came: Callable[[Coming], None] = lambda _: None,
    ) -> None:
        self._gate = gate
        self._key = key
        self._clock = clock
        self._came = came

    def answer(self, request: bytes) -> bytes:
        """Return the signed answer to a request. Raise InputError where it is no request, and then answer nothing."""
        asked = _Question.parse(request)
        try:
            guest = self._admit(asked)
            self._came(Coming(guest.identity.vehicle, asked.address, guest.identity.serial, self._clock()))
            outcome = {"jwt": self._grant(asked.user, guest)}
        except CarcloudError as error:
            outcome = {"error": error.message}
        claims = {"type": "authorization_response", "version": 2} | outcome
        return self._key.token(
            {"sub": asked.user, "aud": asked.server, "iat": int(self._clock()), "nats": claims}
        ).encode()

    def refuse(self, vehicle: str, seconds: float) -> None:
        """Answer this vehicle with a refusal for a while: it floods."""
        self._gate.refuse(vehicle, seconds)

    def forget(self, vehicle: str) -> None:
        """Ask the records again about this vehicle: its state was changed."""
        self._gate.forget(vehicle)

    def _admit(self, asked: _Question) -> Guest:
        if asked.protocol != "mqtt" or asked.certificate is None:
            raise NotAllowedError("Only vehicles with a certificate come in here, by MQTT.")
        guest = self._gate.greet(asked.certificate)
        if asked.client_id != guest.identity.vehicle:
            raise NotAllowedError("The MQTT client id is not the certificate's vehicle id.")
        return guest

    def _grant(self, user: str, guest: Guest) -> str:
        now, identity = int(self._clock()), guest.identity
        own = f"cc.1.{identity.tenant}.{identity.vehicle}"
        ends = min(now + random.randint(*GRANT_S), int(identity.not_after.timestamp()))  # noqa: S311 (only spreads)
        topics = [f"{own}.up.{kind}" for kind in ((HELLO,) if guest.quarantined else (*KINDS, RESULT))]
        permissions = {"pub": {"allow": topics}, "sub": {"allow": [f"{own}.dn", f"{own}.dn.>"]}}
        limits = {"subs": LIMIT_SUBSCRIPTIONS, "data": -1, "payload": -1, "allowed_connection_types": ["MQTT"]}
        claims = {"type": "user", "version": 2} | permissions | limits
        return self._key.token(
            {"sub": user, "aud": ACCOUNT, "name": identity.vehicle, "iat": now, "exp": ends, "nats": claims}
        )


@dataclass(frozen=True)
class _Question:
    """What the broker asks: may this connection be `user`? `certificate`: the leaf of the verified chain, PEM."""

    user: str
    server: str
    protocol: str
    client_id: str
    certificate: bytes | None
    address: str

    @classmethod
    def parse(cls, token: bytes) -> _Question:
        """Read a request's JWT. Its signature is not asked for: only the broker can publish where it comes from."""
        try:
            body = token.split(b".")[1]
            claims = orjson.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))["nats"]
            if claims["type"] != "authorization_request":
                raise KeyError("type")
            client, chains = claims["client_info"], (claims.get("client_tls") or {}).get("verified_chains")
            leaf = chains[0][0].encode() if chains and chains[0] else None
            address, id_ = str(client.get("host", "")), client.get("mqtt_id", "")
            return cls(claims["user_nkey"], claims["server_id"]["id"], client["type"], id_, leaf, address)
        except (IndexError, KeyError, ValueError, TypeError, AttributeError):
            raise InputError("This is no authorization request of a broker.", "Ignore it.") from None


def _new_seed() -> bytes:
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT)
    return seed
