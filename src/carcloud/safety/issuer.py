"""Issuing certificates where the authority's key is: in the signer, for the gateway, which holds no such key.

Rules:
* The signer decides names, extensions and times by itself; it is asked for a key, a vehicle, a tenant and days.
* A certificate counts only once the records know its serial: issuing alone lets nobody in.
"""

from __future__ import annotations

import base64
from datetime import datetime

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from carcloud.errors import InputError
from carcloud.safety.identity import LIMIT_DAYS, VEHICLE_DAYS, Authority, Issued
from carcloud.safety.signer import SignerClient
from carcloud.vehicle.batch import TOKEN

CERTIFICATE = "certificate"


class Issuer:
    """Answers the signer's kind `certificate`."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def answer(self, payload: bytes) -> bytes:
        """Return a certificate for what is asked, JSON; raise InputError where that is none the zone issues."""
        try:
            asked = orjson.loads(payload)
            vehicle, tenant, days = asked["vehicle"], asked["tenant"], asked["days"]
            key = load_der_public_key(base64.b64decode(asked["key"], validate=True))
        except (ValueError, KeyError, TypeError, UnsupportedAlgorithm):
            raise InputError("this is no request for a certificate") from None
        tokens = all(isinstance(text, str) and TOKEN.fullmatch(text) for text in (vehicle, tenant))
        if not tokens or not isinstance(days, int) or not 0 < days <= LIMIT_DAYS:
            raise InputError(f"a certificate is for a vehicle of a tenant and 1 to {LIMIT_DAYS} days")
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise InputError("a certificate is for a key on P-256")
        given = self._authority.issue_for(key, vehicle, tenant, days)
        times = {"issued_at": given.issued_at, "not_after": given.not_after}
        return orjson.dumps({"chain": given.chain.decode(), "serial": given.serial} | times)


def issue(signer: SignerClient, key: bytes, vehicle: str, tenant: str, days: int = VEHICLE_DAYS) -> Issued:
    """Have the signer issue a certificate for a key (SubjectPublicKeyInfo, DER).

    Raises:
        InputError: the signer will not issue this.
        TryLaterError: the signer is away.
    """
    asked = {"key": base64.b64encode(key).decode(), "vehicle": vehicle, "tenant": tenant, "days": days}
    given = orjson.loads(signer.ask(CERTIFICATE, orjson.dumps(asked)))
    issued_at, not_after = (datetime.fromisoformat(given[name]) for name in ("issued_at", "not_after"))
    return Issued(given["chain"].encode(), given["serial"], issued_at, not_after)
