"""Writes vectors.json from docs/orders.md alone: imports `cryptography`, and nothing of carcloud.

Run it by hand after a change to the page; the old vectors must stay as they are.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

VEHICLE, TENANT, ROLE, DOMAIN = "abcdefghijklmnop", "default", "fleet", 2


def key(seed: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(
        int.from_bytes(hashlib.sha256(b"vector %d" % seed).digest(), "big") >> 1, ec.SECP256R1()
    )


def point(of: ec.EllipticCurvePrivateKey) -> bytes:
    return of.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def raw_signature(by: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = utils.decode_dss_signature(by.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def message(kind: int, *values: bytes) -> bytes:
    fields = [struct.pack(">BH", tag, len(value)) + value for tag, value in enumerate(values, 1)]
    return b"CCO1" + bytes([kind]) + b"".join(fields)


def metadata(**values: bytes) -> bytes:
    parts = [bytes([int(tag[1:]), len(value)]) + value for tag, value in values.items()]
    return b"".join(parts) + b"\xff"


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def seal(secret: bytes, nonce: bytes, body: bytes, covered: bytes) -> tuple[bytes, bytes]:
    sealed = AESGCM(secret).encrypt(nonce, body, hashlib.sha256(covered).digest())
    return sealed[:-16], sealed[-16:]


def text(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def main() -> None:
    person, role, car, certificate_key = (key(seed) for seed in range(4))
    authorisation = text(
        {
            "command": "climate-temperature",
            "expires_at": 1_795_478_700,
            "nonce": bytes(range(16)).hex(),
            "not_before": 1_795_478_400,
            "parameters": {"temperature_c": 21.5},
            "role": ROLE,
            "tenant": TENANT,
            "vehicles": [VEHICLE],
        }
    )
    given = b"carcloud/order-authorisation/v1\n" + authorisation
    digest = hashlib.sha256(given).hexdigest()
    order = hashlib.sha256(f"carcloud/order-id/1\n{digest}\n{VEHICLE}".encode()).digest()[:16]

    parts = b"".join(bytes([len(part)]) + part for part in (VEHICLE.encode(), bytes([DOMAIN]), ROLE.encode()))
    x = role.exchange(ec.ECDH(), car.public_key())
    secret = HKDF(hashes.SHA256(), 32, None, b"carcloud/order/1" + parts).derive(x)

    challenge, epoch = hashlib.sha256(b"challenge").digest()[:16], hashlib.sha256(b"epoch").digest()[:16]
    leaf, issuer = b"leaf" * 40, b"issuer" * 30  # stand-ins: certificates are checked elsewhere
    domain, name = bytes([DOMAIN]), ROLE.encode()
    request = message(1, domain, name, challenge, leaf, issuer)

    proof = raw_signature(certificate_key, b"carcloud/order-key/v1\n" + VEHICLE.encode() + b"\n" + point(car))
    said = (domain, name, challenge, epoch, number(41), number(7200), point(car), proof, leaf, issuer)
    covered = metadata(t0=b"\x06", t2=VEHICLE.encode(), t6=challenge)
    tag = hmac.digest(hmac.digest(secret, b"session info", "sha256"), covered + message(2, *said), "sha256")
    info = message(2, *said, tag)

    body = text({"command": "climate-temperature", "expires_at": 1_795_478_700, "parameters": {"temperature_c": 21.5}})
    covered = metadata(
        t0=b"\x05", t1=domain, t2=VEHICLE.encode(), t3=epoch, t4=number(7260), t5=number(42), t16=name, t17=order
    )
    nonce = hashlib.sha256(b"nonce").digest()[:12]
    sealed, seal_tag = seal(secret, nonce, body, covered)
    signed = message(3, domain, name, order, epoch, number(42), number(7260), number(0), nonce, sealed, seal_tag)

    result_body, request_hash = text({"reason": "moving", "state": "rejected"}), b"\x05" + seal_tag
    result_covered = metadata(
        t0=b"\x09",
        t1=domain,
        t2=VEHICLE.encode(),
        t5=number(1),
        t7=number(0),
        t8=request_hash,
        t9=number(0),
        t16=name,
        t17=order,
    )
    nonce2 = hashlib.sha256(b"another nonce").digest()[:12]
    sealed2, tag2 = seal(secret, nonce2, result_body, result_covered)
    result = message(4, domain, name, order, number(1), number(0), number(0), request_hash, nonce2, sealed2, tag2)

    code = "abcdefghjkmnpqrs"
    vectors: dict[str, object] = {
        "vehicle": VEHICLE,
        "tenant": TENANT,
        "role": ROLE,
        "domain": DOMAIN,
        "person_private": person.private_numbers().private_value.to_bytes(32, "big").hex(),
        "role_private": role.private_numbers().private_value.to_bytes(32, "big").hex(),
        "car_private": car.private_numbers().private_value.to_bytes(32, "big").hex(),
        "certificate_private": certificate_key.private_numbers().private_value.to_bytes(32, "big").hex(),
        "authorisation": authorisation.decode(),
        "authorisation_signature": raw_signature(person, given).hex(),
        "key_id": hashlib.sha256(point(person)).hexdigest()[:16],
        "digest": digest,
        "order": order.hex(),
        "x": x.hex(),
        "key": secret.hex(),
        "challenge": challenge.hex(),
        "session_request": request.hex(),
        "session_information": info.hex(),
        "order_metadata": covered.hex(),
        "order_body": body.decode(),
        "order_message": signed.hex(),
        "result_body": result_body.decode(),
        "result_message": result.hex(),
        "refused": message(5, domain, name, challenge, number(2)).hex(),
        "pairing_code": code,
        "pairing_proof": hmac.digest(
            code.encode(), b"carcloud/order-pairing/v1\nmia\n" + point(person), "sha256"
        ).hex(),
    }
    (Path(__file__).parent / "vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
