"""A FleetWise campaign as collection plans: one, or one for each of its data partitions.

Rules:
* `signalsToCollect` with their intervals, the expression, the time after a trigger, the interval between triggers, the
  priority, the expiry and a partition's upload expression come along.
* How long before a trigger samples are kept is worked out of `maxSampleCount` and the interval between samples; where
  there is no interval, nothing before is kept, which is remarked upon.
* A campaign whose expression or upload expression has no equal is left out whole: half of it would be another campaign.

Source: AWS IoT FleetWise API Reference, CreateCampaign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.fleetwise.condition import condition
from carcloud.vehicle.fleetwise.record import DIFFERS, Record, Remark, shown
from carcloud.vehicle.fleetwise.signals import Signals
from carcloud.vehicle.plans.plan import LIMIT_AFTER_US, LIMIT_BEFORE_US, LIMIT_LIFE

LONGEST_BEFORE_MS, LONGEST_AFTER_MS = LIMIT_BEFORE_US // 1000, LIMIT_AFTER_US // 1000
LOWEST_PRIORITY = 9
LIMIT_NAME = 64
LIFE = timedelta(days=365)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NO_EQUAL = {
    "dataExtraDimensions": "attributes stand in the lake as any other signal; join them there",
    "dataDestinationConfigs": "everything goes to the zone's lake",
    "signalsToFetch": "the agent takes what the bus says, and fetches nothing",
    "targetArn": "say which cars take the plan when it is sent to them",
    "tags": "plans have no tags",
}
_FACTS = ("arn", "description", "signalCatalogArn", "status", "creationTime", "lastModificationTime")


@dataclass(frozen=True)
class Terms:
    """What FleetWise does not know and a plan has to say: purpose and basis, bytes a day, and the time it is now."""

    purpose: str
    basis: str
    budget: str
    now: datetime


def read_campaign(
    campaign: Record, signals: Signals, known: Mapping[str, Signal], terms: Terms, taken: set[str]
) -> tuple[list[dict[str, Any]], list[Remark]]:
    """Return a campaign's plans as documents, none where it has no equal, and remarks.

    Args:
        known: the zone's catalogue, with the overlay on top.
        taken: names of plans; those of these plans are added.

    Raises:
        InputError: it is no campaign.
    """
    name = campaign.text("name")
    reading = _Reading(name, campaign, signals, known)
    try:
        plans = list(reading.plans(terms, taken))
    except _NoEqualError as error:
        return [], [Remark(f"campaign {name}", error.message.rstrip("."))]
    return plans, reading.remarks


class _NoEqualError(InputError):
    """The whole campaign has no equal."""


class _Reading:
    def __init__(self, name: str, campaign: Record, signals: Signals, known: Mapping[str, Signal]) -> None:
        self.name, self._campaign, self._signals, self._known = name, campaign, signals, known
        self.remarks: list[Remark] = []

    def plans(self, terms: Terms, taken: set[str]) -> Iterator[dict[str, Any]]:
        """Yield the plans."""
        campaign = self._campaign
        uploads = dict(self._partitions())
        when, interval_ms, timed = self._scheme(campaign.record("collectionScheme"))
        after_ms = self._after()
        groups: dict[str, list[tuple[str, int, int]]] = {}
        for path, every_ms, count, partition in self._collected():
            groups.setdefault(partition, []).append((path, every_ms, count))
        if not groups:
            raise _NoEqualError("It collects no signal that is known here.", "")
        common = self._common(terms)
        self._facts()
        for partition in uploads.keys() - groups.keys():
            why = "no signal that is known here points to it; its upload expression goes with it"
            self._tell(f"the partition {shown(partition)}", why)
        for partition, rows in groups.items():
            plan: dict[str, Any] = {"plan": _token(f"{self.name}-{partition}" if partition else self.name, taken)}
            plan |= {"version": 1, "signals": [_sampled(path, every_ms) for path, every_ms, _ in rows]}
            if when is not None:
                plan |= (
                    {"when": when}
                    | self._span(rows, after_ms)
                    | ({"interval": _ms(interval_ms)} if interval_ms else {})
                )
            elif timed and any(count for _, _, count in rows):
                self._tell("maxSampleCount", "a plan without a condition keeps all it samples, up to its budget")
            if uploads.get(partition):
                plan["upload"] = uploads[partition]
            yield plan | common

    def _scheme(self, scheme: Record) -> tuple[str | None, int, bool]:
        if "timeBasedCollectionScheme" in scheme:
            period_ms = scheme.record("timeBasedCollectionScheme").whole("periodMs")
            self._tell(
                f"a period of {_ms(period_ms)}", "samples are sent as they come; the period bundles them", DIFFERS
            )
            return None, 0, True
        if "conditionBasedCollectionScheme" not in scheme:
            raise self._campaign.wrong("has a collectionScheme that is neither time-based nor condition-based")
        based = scheme.record("conditionBasedCollectionScheme")
        if based.text("triggerMode", "ALWAYS") != "RISING_EDGE":
            why = "a plan fires when its condition becomes true, not again while it stays true"
            self._tell("triggerMode ALWAYS", why, DIFFERS)
        return self._condition(based.text("expression")), based.whole("minimumTriggerIntervalMs", 0), False

    def _condition(self, expression: str) -> str:
        try:
            return condition(expression, self._signals.units, self._known)
        except InputError as error:
            raise _NoEqualError(error.message, "") from None

    def _partitions(self) -> Iterator[tuple[str, str]]:
        for partition in self._campaign.records("dataPartitions", "id"):
            id_ = partition.text("id")
            self._tell(
                f"the storage of partition {id_}", "the car keeps its queue in one place, the most important longest"
            )
            yield (
                id_,
                self._condition(partition.record("uploadOptions").text("expression"))
                if "uploadOptions" in partition
                else "",
            )

    def _after(self) -> int:
        after_ms = self._campaign.whole("postTriggerCollectionDuration", 0)
        if after_ms > LONGEST_AFTER_MS:
            self._tell(f"{_ms(after_ms)} after a trigger", f"a plan keeps at most {_ms(LONGEST_AFTER_MS)}", DIFFERS)
        return min(after_ms, LONGEST_AFTER_MS)

    def _collected(self) -> Iterator[tuple[str, int, int, str]]:
        seen: set[str] = set()
        for signal in self._campaign.records("signalsToCollect", "name"):
            name, partition = signal.text("name"), signal.text("dataPartitionId", "")
            every_ms, count = signal.whole("minimumSamplingIntervalMs", 0), signal.whole("maxSampleCount", 0)
            if "*" in name:
                paths = sorted(path for path in self._signals.units if fnmatchcase(path, name) and path in self._known)
                self._tell(shown(name), f"a plan lists its signals: the {len(paths)} of today", DIFFERS)
            else:
                paths = [name] if name in self._known else []
                if not paths:
                    self._tell(shown(name), "is no signal of the catalogue")
            for path in paths:
                if path not in seen:
                    seen.add(path)
                    yield path, every_ms, count, partition

    def _span(self, rows: list[tuple[str, int, int]], after_ms: int) -> dict[str, str]:
        spans = [every_ms * count for _, every_ms, count in rows if every_ms and count]
        before_ms = min(max([0, *(span - after_ms for span in spans)]), LONGEST_BEFORE_MS)
        if len(spans) < len(rows):
            why = "FleetWise keeps a number of samples; how long that is, is not said for all signals: set `before`"
            self._tell("the samples before a trigger", why, DIFFERS)
        elif len({*spans}) > 1 or max(spans) - after_ms > LONGEST_BEFORE_MS:
            why = f"FleetWise keeps a number of samples of each signal; this plan keeps {_ms(before_ms)} of all"
            self._tell("the samples before a trigger", why, DIFFERS)
        span = {"before": before_ms, "after": after_ms}
        return {key: _ms(value) for key, value in span.items() if value}

    def _common(self, terms: Terms) -> dict[str, Any]:
        priority = self._campaign.whole("priority", 0) + 1
        if priority > LOWEST_PRIORITY:
            self._tell(f"priority {priority - 1}", f"plans have 1 to {LOWEST_PRIORITY}", DIFFERS)
        until, most = self._time("expiryTime"), terms.now + LIMIT_LIFE
        if until is None or until > most:
            until = terms.now + LIFE
            self._tell("its end", f"a plan lasts for three years at most; this one until {until:%Y-%m-%d}", DIFFERS)
        return {
            "priority": min(priority, LOWEST_PRIORITY),
            "purpose": terms.purpose,
            "basis": terms.basis,
            "budget": terms.budget,
            "until": until.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }

    def _time(self, key: str) -> datetime | None:
        if key not in self._campaign:
            return None
        value = self._campaign.rest[key]
        self._campaign.pass_over(key)
        try:
            if isinstance(value, str):
                at = datetime.fromisoformat(value)
                return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return EPOCH + timedelta(seconds=value)
        except OverflowError:
            return None  # so late that it never comes
        except ValueError:
            pass
        raise self._campaign.wrong(f"has a {key} of {shown(value)}, which is no time")

    def _facts(self) -> None:
        campaign = self._campaign
        if campaign.text("compression", "SNAPPY") == "OFF":
            self._tell("compression OFF", "batches are always compressed", DIFFERS)
        if campaign.text("spoolingMode", "OFF") == "OFF":
            self._tell("spoolingMode OFF", "the car keeps what is not acknowledged on its disk, always", DIFFERS)
        if campaign.text("diagnosticsMode", "OFF") != "OFF":
            self._tell("diagnosticsMode", "the agent asks for no trouble codes; map the signal that has them")
        start = self._time("startTime")
        if start is not None and start > EPOCH:
            self._tell("startTime", "a plan holds from when a car takes it", DIFFERS)
        if campaign.rest.get("status") == "SUSPENDED":
            self._tell("the state SUSPENDED", "a plan is sent to cars, or not; do not send it yet", DIFFERS)
        for key, why in _NO_EQUAL.items():
            if campaign.rest.get(key):
                self._tell(key, why)
        campaign.pass_over(*_NO_EQUAL, *_FACTS)
        for key in campaign.rest:
            self._tell(shown(key), "is not known here")

    def _tell(self, what: str, why: str, kind: str = "left out") -> None:
        remark = Remark(f"campaign {self.name}: {what}", why, kind)
        if remark not in self.remarks:
            self.remarks.append(remark)


def _sampled(path: str, every_ms: int) -> str | dict[str, str]:
    return {"path": path, "every": _ms(every_ms)} if every_ms else path


def _ms(ms: int) -> str:
    """Return a duration as a plan writes it."""
    return f"{ms} ms" if ms % 1000 else f"{ms // 1000} s"


def _token(name: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:LIMIT_NAME]
    found, count = base, 2
    while found in taken:
        found, count = f"{base[: LIMIT_NAME - len(str(count)) - 1]}-{count}", count + 1
    taken.add(found)
    return found
