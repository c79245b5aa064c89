"""What reports are made from. Gathered from what is in force and what the records count, never typed in twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from carcloud.backends.records.requests import Request
from carcloud.safety.flows.flow import Flow
from carcloud.safety.governance.policy import Policy, Rule
from carcloud.safety.reports.settings import ControllerSettings


@dataclass(frozen=True)
class Facts:
    """A tenant of a zone on a day, and what happened in one calendar year.

    `signals`: rule's position in the policy → paths of the catalogue that it is the first to name; `unnamed`: those
    that no rule names. `consents`: purpose → how many cars' people agreed. `left`: (flow, class) → people whose data
    left in the year, flow "" for all together. `measures`: safeguard → whether it is in force, or how.
    `backups`: months of which the zone knows keys of backups.
    """

    controller: ControllerSettings
    zone: str
    tenant: str
    region: str
    today: date
    year: int
    policy: Policy
    flows: Sequence[Flow]
    signals: Mapping[int, Sequence[str]]
    unnamed: int
    vehicles: int
    consents: Mapping[str, int]
    requests: Sequence[Request]
    erased: int
    left: Mapping[tuple[str, str], int]
    stopped: int
    suspected: int
    measures: Mapping[str, str]
    backups: Sequence[str] = ()

    def rules(self, purpose: str | None = None) -> list[tuple[int, Rule]]:
        """Return the rules that keep something, of one purpose or of all, with their positions."""
        found = enumerate(self.policy.rules)
        return [(at, rule) for at, rule in found if rule.keep and (purpose is None or purpose in rule.purposes)]

    def of_year(self) -> list[Request]:
        """Return the requests that were received in the year."""
        return [request for request in self.requests if request.received.year == self.year]

    def late(self) -> int:
        """Return how many requests of the year are, or were closed, beyond their last day."""
        return sum(request.late(self.today) for request in self.of_year())


def by_kind(requests: Iterable[Request]) -> Counter[str]:
    """Return how many requests there are of each kind."""
    return Counter(request.kind for request in requests)
