"""What a flooding tenant costs the others: batch → acknowledgement of quiet tenants, without and with one flooding.

    python bench/tenants.py [--tenants 100] [--seconds 30]

Each tenant has one car that sends a batch a second. The flooding one sends many times its quota of messages. Prints
p50 and p99 in seconds, and their ratios, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from carcloud.backends.records import Quotas
from tests.end_to_end.tenants import Flood, TenantCar, driving, made, quantile
from tests.zone import running_zone

QUOTA = Quotas(messages_per_s=20)
WARM_S = 5


def main() -> None:
    """Measure twice on one zone: quiet, then beside a flood."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--tenants", type=int, default=100)
    given.add_argument("--seconds", type=int, default=30)
    given.add_argument("--messages-per-s", type=int, default=300)
    asked = given.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_zone(Path(folder) / "data") as zone:
        cars = made(zone, [f"t{number:03}" for number in range(asked.tenants)], {"t000": QUOTA})
        flooder, *quiet = cars
        with driving(cars):
            measured(quiet, WARM_S)
            alone = measured(quiet, asked.seconds)
            with Flood(flooder, asked.messages_per_s) if asked.messages_per_s else nullcontext():
                beside = measured(quiet, asked.seconds)
        over = zone.status()["stream"]["refused"].get("quota", 0)
    ratios = {name: round(beside[name] / alone[name], 2) for name in ("p50_s", "p99_s")}
    print(
        json.dumps({"tenants": asked.tenants, "alone": alone, "beside a flood": beside, "ratio": ratios, "quota": over})
    )


def measured(quiet: list[TenantCar], seconds: int) -> dict[str, float]:
    """Have every car send a batch a second; return quantiles of the delays until they are acknowledged."""
    for car in quiet:
        car.delays_s.clear()
    pause_s, ends = 1 / len(quiet), time.monotonic() + seconds
    while time.monotonic() < ends:
        for car in quiet:
            car.send()
            time.sleep(pause_s)
    patience = time.monotonic() + 30
    while any(car.acked < car.sent for car in quiet) and time.monotonic() < patience:
        time.sleep(0.1)
    delays = [delay_s for car in quiet for delay_s in car.delays_s]
    lost = sum(car.sent - car.acked for car in quiet)
    return {
        "p50_s": round(quantile(delays, 0.5), 3),
        "p99_s": round(quantile(delays, 0.99), 3),
        "batches": len(delays),
        "unacknowledged": lost,
    }


if __name__ == "__main__":
    main()
