"""The car's own certificate: its first, by a claim, and each next one, by the one before.

Rules:
* The key is made in the car and never leaves it; the zone is trusted by its authority's certificate only.
* It renews in the last third of a certificate's life, at a moment that the certificate's serial spreads, so that cars
  enrolled together do not come together; where that fails, it tries again, later and later.
* The new pair is first kept whole in one file, then put in place of the old: whenever the power goes, one is usable.
"""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.errors import FAMILIES, CarcloudError, ConflictError, InputError, TryLaterError
from carcloud.onboard.credentials import Credentials, settle
from carcloud.safety.claim import request_for, vehicle_of
from carcloud.safety.identity import renewable_from
from carcloud.safety.keys import RENEWED, private_folder, write_file

ENROLL, RENEW = "/v1/est/enroll", "/v1/est/renew"
ANSWER_TIMEOUT_S = 20.0
LIMIT_ANSWER_BYTES = 64 * 1024
FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 6 * 3600.0
_SPREAD = 1 << 32


def join(token: str, zone: str, ca: Path, into: Path, serial: str = "") -> Credentials:
    """Join a zone with a claim: make a key, have it certified, and write the folder of credentials.

    Args:
        zone: the address of the zone's door for claims, https://…. ca: the certificates the car shall trust, PEM.
        serial: the serial number of a control unit, where the claim is bound to one.

    Raises:
        InputError: token, address or file is none. ConflictError: the folder is another car's, or the claim was used.
        NotAllowedError: the claim is wrong. MissingError: its time is over. TryLaterError: the zone is away.
    """
    vehicle = vehicle_of(token)
    _refuse_others(into, vehicle)
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    except (ssl.SSLError, OSError) as error:
        do = "Give the certificates that the zone's operator gave you."
        raise InputError(f"{ca} holds no certificates: {error}.", do) from None
    key = ec.generate_private_key(ec.SECP256R1())
    answer = _post(zone, ENROLL, request_for(key, vehicle, token, serial), context)
    _keep(into, key, answer, vehicle)
    return Credentials.read(into)


def renew(credentials: Credentials) -> None:
    """Have a new key certified on the strength of the present certificate, and put the two in its place.

    Raises:
        ConflictError: it is too early. NotAllowedError: the car may not come in.
        TryLaterError: the zone is away, or does not want it now.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    answer = _post(credentials.https, RENEW, request_for(key, credentials.vehicle), credentials.context())
    _keep(credentials.folder, key, answer, credentials.vehicle)


def renewal_at(certificate: x509.Certificate) -> float:
    """Return when a car renews this certificate, in seconds since 1970: in the first half of the last third."""
    begins, ends = renewable_from(certificate).timestamp(), certificate.not_valid_after_utc.timestamp()
    return begins + (certificate.serial_number % _SPREAD) / _SPREAD * (ends - begins) / 2


def wait_s(failures: int, left_s: float, chance: float) -> float:
    """Return how long to wait after so many failures: longer each time, but never past what is left of the life."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (failures - 1), max(left_s / 4, FIRST_WAIT_S / 4))
    return longest * (0.5 + chance / 2)


class Renewal:
    """Renews a car's certificate in time, in a thread of its own for each attempt. `clock`: seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._at = float("inf")
        self._ends = float("inf")
        self._failures = 0
        self._working: threading.Thread | None = None
        self._renewed = threading.Event()
        self.renewals = 0
        self.trouble: str | None = None

    def look(self, credentials: Credentials) -> None:
        """Take note of the certificate that is in use now."""
        certificate = credentials.certificate()
        self._ends = certificate.not_valid_after_utc.timestamp()
        if not self._failures:
            self._at = renewal_at(certificate) if credentials.https else float("inf")

    def poll(self, credentials: Credentials) -> bool:
        """Begin an attempt where it is time; tell whether there is a new certificate since the last call."""
        if self._renewed.is_set():
            self._renewed.clear()
            return True
        busy = self._working is not None and self._working.is_alive()
        if not busy and self._clock() >= self._at:
            self._at = float("inf")
            self._working = threading.Thread(target=self._attempt, args=(credentials,), daemon=True)
            self._working.start()
        return False

    def _attempt(self, credentials: Credentials) -> None:
        try:
            renew(credentials)
        except CarcloudError as error:
            self.trouble = str(error)
            self._failures += 1
            now = self._clock()
            self._at = now + wait_s(self._failures, self._ends - now, random.random())  # noqa: S311 (only spreads)
        else:
            self.trouble, self._failures = None, 0
            self.renewals += 1
            self._renewed.set()


def _keep(folder: Path, key: ec.EllipticCurvePrivateKey, answer: dict[str, Any], vehicle: str) -> None:
    """Check what the zone gave, keep it whole with its key, and put it in place."""
    try:
        leaf = x509.load_pem_x509_certificate(answer["certificate"].encode())
        fits = leaf.public_key() == key.public_key() and answer["vehicle"]["id"] == vehicle
        x509.load_pem_x509_certificates(answer["ca"].encode())
    except (KeyError, TypeError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise TryLaterError("The zone gave a certificate that is not for this car.", "Tell the zone's operator.")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    whole = {"vehicle.key": pem.decode(), "vehicle.pem": answer["certificate"], "ca.pem": answer["ca"]}
    whole["vehicle.json"] = json.dumps(answer["vehicle"], indent=2) + "\n"
    try:
        write_file(private_folder(folder) / RENEWED, json.dumps(whole).encode())
        settle(folder)
    except OSError as error:
        do = "Make room, or give another folder; the claim is used up, ask for a new one."
        raise InputError(f"Credentials cannot be written into {folder}: {error.strerror}.", do) from None


def _refuse_others(folder: Path, vehicle: str) -> None:
    try:
        found = json.loads((folder / "vehicle.json").read_text("utf-8"))["id"]
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError, TypeError, KeyError):
        found = None
    if found != vehicle:
        raise ConflictError(f"{folder} holds another car's credentials.", "Give another folder, or remove that one.")


def _post(address: str, path: str, body: bytes, context: ssl.SSLContext) -> dict[str, Any]:
    where = urlsplit(address)
    try:
        host, port = where.hostname, where.port or 443
    except ValueError:
        host, port = None, 443
    if where.scheme != "https" or not host:
        raise InputError(f"{address[:200]!r} is no address of a zone.", "Give it as https://HOST:PORT.")
    line = http.client.HTTPSConnection(host, port, timeout=ANSWER_TIMEOUT_S, context=context)
    try:
        line.request("POST", path, body, {"content-type": "application/pkcs10"})
        answer = line.getresponse()
        said = json.loads(answer.read(LIMIT_ANSWER_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:  # ssl.SSLError is an OSError
        do = "Check the address and the certificates, and that the zone runs."
        raise TryLaterError(f"{host}:{port} gave no answer: {error}.", do) from None
    finally:
        line.close()
    if answer.status == 201 and isinstance(said, dict):
        return said
    problem = said.get("error", {}) if isinstance(said, dict) else {}
    family = FAMILIES.get(problem.get("code", ""), TryLaterError)
    raise family(problem.get("message") or f"{host} answered {answer.status}.", problem.get("do", ""))
