"""What a decision of the policies costs: `python bench/policy.py`. Prints one line of JSON."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

from carcloud.safety.people.caller import Caller
from carcloud.safety.people.policy import Policies, Resource, zone_of

DECISIONS = 10_000


def main() -> None:
    policies = Policies.load()
    caller = Caller("person:bench", "Bench", frozenset({"engineer", "analyst"}), "default")
    zone = zone_of("default")
    cars = [Resource("Vehicle", f"{number:016x}", "default") for number in range(DECISIONS)]
    for resource in cars[:200]:
        policies.allows(caller, "readTwin", resource)
    figures = {
        "known": _median_us(lambda _: policies.allows(caller, "readTwin", zone)),
        "new_vehicle": _median_us(lambda number: policies.allows(caller, "readTwin", cars[number])),
        "denied": _median_us(lambda _: policies.allows(caller, "sendOrder", zone)),
    }
    print(json.dumps({"decisions": DECISIONS, "median_us": figures}))


def _median_us(ask: Callable[[int], bool]) -> float:
    taken = []
    for number in range(DECISIONS):
        began = time.perf_counter_ns()
        ask(number)
        taken.append(time.perf_counter_ns() - began)
    return round(statistics.median(taken) / 1000, 1)


if __name__ == "__main__":
    main()
