"""How long one waits after failed attempts to sign in.

Rules:
* Failures are counted for a login from one address, for an address, and for a login from anywhere.
* The wait grows with each failure and ends by itself: nobody is locked out for ever. From elsewhere the right person
  gets in all the same, for the wait on a login from anywhere stays short.
* An attempt counts as failed when it begins, and is taken back when it succeeds: many at once gain nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from carcloud.backends.records import Records
from carcloud.errors import TryLaterError

FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Limit:
    """How many failures are free, and how long the wait behind them may grow, in seconds."""

    free: int
    longest_s: int

    def wait_s(self, failures: int) -> int:
        """Return the wait after so many failures."""
        over = failures - self.free
        return 0 if over < 0 else min(self.longest_s, 2 ** min(over, 20))


HERE = Limit(free=5, longest_s=15 * 60)
ADDRESS = Limit(free=20, longest_s=15 * 60)
ANYWHERE = Limit(free=50, longest_s=5)


class ThrottledError(TryLaterError):
    """Too many attempts have failed."""

    status = 429


class Attempt:
    """An attempt that is under way, counted as failed until `pardon` says otherwise."""

    def __init__(self) -> None:
        self.succeeded, self.harmless = False, False


class Throttle:
    """Counts failed attempts in the records."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @contextmanager
    def attempt(self, login: str, address: str, now: datetime) -> Iterator[Attempt]:
        """Let one attempt through, or raise ThrottledError with the seconds to wait."""
        limits = _limits(login, network(address))
        passes = self._records.passes
        with self._records.transaction(writing=True) as db:
            known = passes.failures(db, list(limits), now)
            wait_s = max(_left_s(limits[key], *known[key], now) for key in limits)
            if wait_s <= 0:
                passes.count_failures(db, list(limits), now, now - FORGOTTEN_AFTER)
        if wait_s > 0:
            raise ThrottledError("Too many attempts to sign in have failed.", f"Wait {wait_s} s, then try again.")
        under_way = Attempt()
        try:
            yield under_way
        finally:
            if under_way.succeeded or under_way.harmless:
                here, *wider = limits
                with self._records.transaction(writing=True) as db:
                    passes.pardon(db, [here], wholly=under_way.succeeded)
                    passes.pardon(db, wider, wholly=False)


def network(address: str) -> str:
    """Return what counts as one address: an IPv6 subscriber has a whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, ipaddress.IPv6Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


def _limits(login: str, address: str) -> dict[str, Limit]:
    """Return what counts this attempt, the login from here first; the records learn neither login nor address."""
    return {
        _key("here", login, address): HERE,
        _key("address", address): ADDRESS,
        _key("login", login): ANYWHERE,
    }


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _left_s(limit: Limit, failures: int, last_at: datetime, now: datetime) -> int:
    wait = timedelta(seconds=limit.wait_s(failures)) - (now - last_at)
    return -(-wait // timedelta(seconds=1))
