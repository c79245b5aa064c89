"""The desk of a zone elsewhere, over HTTP."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

import httpx

from carcloud.errors import FAMILIES, CarcloudError, InputError, TryLaterError
from carcloud.research.manifest import Manifest
from carcloud.research.sending import Sent
from carcloud.safety.flows.replica import safe

TIMEOUT_S = 600.0
"""Putting the parts of a large recording together takes minutes."""
TRIES = 5
PAUSE_S = 1.0


class RemoteDoor:
    """Where a recording is sent over HTTP. Close it when done.

    Args:
        ca: PEM file of the authority that signed the zone's certificate; empty: one that is widely known.
    """

    def __init__(self, url: str, secret: str, ca: str = "") -> None:
        """Raise InputError where the address is not safe, or the authority's file is none."""
        if not safe(url):
            raise InputError("A token and people's data do not travel in clear.", "Give an address with https.")
        try:
            trust: Any = ssl.create_default_context(cafile=ca) if ca else True
        except (OSError, ssl.SSLError):
            raise InputError(f"{ca} is no certificate of an authority.", "Give a PEM file.") from None
        headers = {"authorization": f"Bearer {secret}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, verify=trust, trust_env=False)
        self._url = url

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def begin(self, said: Manifest) -> Sent:
        """Begin a recording; raise as `Desk.begin`."""
        return _sent(self._asked(lambda: self._http.post("/v1/recordings", json=asdict(said))))

    def put_part(self, id: str, number: int, data: bytes) -> None:  # noqa: A002
        """Send a part; raise as `Desk.put_part`."""
        headers = {"x-sha256": hashlib.sha256(data).hexdigest(), "content-type": "application/octet-stream"}
        self._asked(lambda: self._http.put(f"{_path(id)}/parts/{number}", content=data, headers=headers))

    def finish(self, id: str) -> Sent:  # noqa: A002
        """Finish a recording; raise as `Desk.finish`."""
        return _sent(self._asked(lambda: self._http.post(f"{_path(id)}/done")))

    def look(self, id: str) -> Mapping[str, Any]:  # noqa: A002
        """Return a recording as the zone shows it."""
        return self._asked(lambda: self._http.get(_path(id)))

    def _asked(self, ask: Callable[[], httpx.Response]) -> dict[str, Any]:
        """Return an answer; what is not possible now is asked again a few times, for all of it may be repeated."""
        for tried in range(1, TRIES + 1):
            try:
                return self._answered(ask)
            except TryLaterError:
                if tried == TRIES:
                    raise
                time.sleep(PAUSE_S * tried)
        raise AssertionError

    def _answered(self, ask: Callable[[], httpx.Response]) -> dict[str, Any]:
        try:
            answer = ask()
            said: dict[str, Any] = answer.json()
            if answer.is_success:
                return said
            error = said["error"]
            raise FAMILIES.get(error["code"], CarcloudError)(str(error["message"]), str(error["do"]))
        except httpx.TransportError as error:
            do = "Check the address, and that the zone runs; then send it again: it goes on where it was."
            raise TryLaterError(f"The zone at {self._url} does not answer ({type(error).__name__}).", do) from None
        except (ValueError, KeyError, TypeError):
            raise TryLaterError(f"{self._url} answered {answer.status_code}.", "Check the address.") from None


def _path(id_: str) -> str:
    return f"/v1/recordings/{quote(id_, safe='')}"


def _sent(said: Mapping[str, Any]) -> Sent:
    return Sent(said["id"], said["state"], said["missing"])
