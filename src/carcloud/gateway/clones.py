"""Clones: one car's identity used from two places, seen in how its connections come.

Rules:
* The broker keeps one session a car: a second one closes the first. Two holders of one certificate therefore push each
  other out, and the car seems to come back, again and again, to a place it had left.
* A place is an address and a certificate. Coming from the same place, however often, tells nothing; nor does a change
  of address, a renewed certificate, or one way back.
* What is suspected is not punished by itself: it is recorded, and an alarm stands until someone has acted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 600.0
RETURNS = 3
"""So many ways back to a place that was left, within the window, are taken for two cars."""

LIMIT_CARS = 200_000
LIMIT_COMINGS = 16
"""Changes of place that are remembered of one car."""


@dataclass(frozen=True)
class Coming:
    """A car came in: from which address, with which certificate, when (seconds since 1970 UTC)."""

    vehicle: str
    address: str
    serial: str
    at: float

    @property
    def place(self) -> tuple[str, str]:
        """Return where it came from, as far as the zone can tell."""
        return self.address, self.serial


def returns(comings: Sequence[Coming], now: float) -> int:
    """Return how often, within the window, the car came back to a place that it had left for another."""
    seen, count = set[tuple[str, str]](), 0
    last: tuple[str, str] | None = None
    for coming in comings:
        if now - coming.at > WINDOW_S:
            continue
        if coming.place != last:
            count += coming.place in seen
            seen.add(coming.place)
            last = coming.place
    return count


def suspicious(comings: Sequence[Coming], now: float) -> bool:
    """Tell whether these comings of one car, in the order of time, look like two cars."""
    return returns(comings, now) >= RETURNS


def why(comings: Sequence[Coming], now: float) -> str:
    """Say what is suspicious, without an address: that is a personal datum."""
    recent = [coming for coming in comings if now - coming.at <= WINDOW_S]
    addresses, serials = ({getattr(each, name) for each in recent} for name in ("address", "serial"))
    places = f"{len(addresses)} addresses and {len(serials)} certificates"
    return f"came back {returns(comings, now)} times in {WINDOW_S / 60:.0f} minutes to places it had left: {places}"


class Comings:
    """The last comings of each car, as far as they are changes of place."""

    def __init__(self) -> None:
        self._cars: OrderedDict[str, list[Coming]] = OrderedDict()

    def add(self, coming: Coming) -> str | None:
        """Take one in; return why the car looks like two, or None."""
        known = self._cars.pop(coming.vehicle, [])
        if known and known[-1].place == coming.place:
            known[-1] = coming
        else:
            known.append(coming)
        self._cars[coming.vehicle] = known[-LIMIT_COMINGS:]
        if len(self._cars) > LIMIT_CARS:
            self._cars.popitem(last=False)
        if len(known) < RETURNS + 2 or not suspicious(known, coming.at):
            return None
        return why(known, coming.at)

    def forget(self, vehicle: str) -> None:
        """Begin anew with a car that someone has acted on."""
        self._cars.pop(vehicle, None)
