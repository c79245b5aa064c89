"""The measured runs against the zone: flat out, at a fixed rate with probes, and the storm of connections."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import probe
from driver import HERE, Generator
from generator import Plan
from recordings import Load
from zone import Enrolled, Zone

OVERLAY = HERE.parent / "examples" / "overlays" / "recordings.yaml"
REPEATS = 9
PROBES = 5
POINT = """
SELECT time, value FROM samples
WHERE vehicle = $vehicle AND signal = 'Vehicle.Speed' AND day = $day ORDER BY time
"""
AGGREGATE = "SELECT signal, count(*) AS n, avg(value) AS mean, max(value) AS top FROM samples GROUP BY signal"


def fresh(enrolled: Enrolled, folder: Path) -> Zone:
    """Start a zone that knows its cars and nothing else, with the recordings' overlay and no other setting."""
    enrolled.copy(folder / "data")
    config = folder / "zone.toml"
    config.write_text(f'overlays = ["{OVERLAY}"]\n')
    return Zone(folder / "data", config)


def flat_out(load: Load, enrolled: Enrolled, cars: int, folder: Path, *, queries: bool = False) -> dict[str, Any]:
    """Send a whole load as fast as it is acknowledged; wait until every sample is in the lake."""
    with closing(fresh(enrolled, folder)) as zone:
        plan = Plan("127.0.0.1", zone.ports["mqtt"], enrolled.ca, enrolled.cars[:cars], str(load.folder))
        with closing(Generator(plan, folder)) as generator:
            connected = generator.step("connect")
            usage = zone.usage()
            generator.tell("go")
            committed = zone.wait_rows(load.total)
            cpu = usage.stop()
            sent = generator.answer()
        result = {
            "size": load.size,
            "cars": cars,
            "batches": len(load),
            "samples": load.total,
            "wire_bytes": load.wire_bytes,
            "wall_s": committed - sent["began"],
            "governed_s": sent["last_ack"] - sent["began"],
            "cpu_s": cpu,
            "peak_bytes": dict(usage.peak_bytes),
            "peak_total_bytes": usage.peak_total_bytes,
            "generator_cpu_s": sent["cpu"],
            "resent": sent["resent"],
            "lost": sent["lost"],
            "refused": sent["refused"],
            "connect_s": connected["seconds"],
            "connect_cpu_s": connected["cpu"],
            "bytes": zone.lake.written_bytes,
            "files": len(zone.lake.live),
            "delay": zone.status()["delay"],
        }
        if queries:
            result["queries"] = questions(zone, [car["id"] for car in plan.cars])
        return result


def questions(zone: Zone, vehicles: list[str]) -> dict[str, Any]:
    """Time one car's signal of one day and a fleet aggregate, as written and after the zone has compacted."""
    rows = zone.sql("SELECT count(*) AS n FROM samples")["n"][0].as_py()
    found: dict[str, Any] = {"rows": rows, "before": _timed(zone, vehicles)}
    found["compacted"] = zone.wait_compacted()
    found["after"] = _timed(zone, vehicles)
    found["bytes_after"] = zone.lake.live_bytes
    found["files_after"] = len(zone.lake.live)
    return found


def _timed(zone: Zone, vehicles: list[str]) -> dict[str, float]:
    day = zone.sql("SELECT max(day) AS day FROM samples")["day"][0].as_py()
    chosen = vehicles[:: max(1, len(vehicles) // REPEATS)][:REPEATS]
    return {
        "point_s": _median([lambda v=v: zone.sql(POINT, vehicle=v, day=day) for v in chosen]),
        "aggregate_s": _median([lambda: zone.sql(AGGREGATE)] * REPEATS),
        "files": len(zone.lake.live),
    }


def _median(calls: list[Any]) -> float:
    times = []
    for call in calls:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def paced(load: Load, enrolled: Enrolled, cars: int, rate: float, folder: Path) -> dict[str, Any]:
    """Send at a fixed rate; probe cars measure the delay to acknowledgement, twin and lake meanwhile."""
    with closing(fresh(enrolled, folder)) as zone:
        plan = Plan("127.0.0.1", zone.ports["mqtt"], enrolled.ca, enrolled.cars[:cars], str(load.folder), rate=rate)
        with closing(Generator(plan, folder)) as generator:
            generator.step("connect")
            usage = zone.usage()
            generator.tell("go")
            time.sleep(5)
            seen = _probed(zone, enrolled, max(5.0, load.total / rate - 15), folder)
            sent = generator.answer()
            cpu = usage.stop()
        return {
            "size": load.size,
            "cars": cars,
            "rate": rate,
            "samples": load.total,
            "seconds": sent["last_ack"] - sent["began"],
            "probes": seen["sent"],
            "twin_s": quantiles(seen["twin"]),
            "lake_s": quantiles(seen["lake"]),
            "ack_s": quantiles(seen["ack"]),
            "all_ack_s": {"p50": sent["ack_p50"], "p99": sent["ack_p99"]},
            "own_delay": zone.status()["delay"],
            "cpu_s": cpu,
            "peak_total_bytes": usage.peak_total_bytes,
            "peak_bytes": dict(usage.peak_bytes),
            "resent": sent["resent"],
            "refused": sent["refused"],
        }


def _probed(zone: Zone, enrolled: Enrolled, seconds: float, folder: Path) -> dict[str, Any]:
    api = f"http://127.0.0.1:{zone.ports['api']}"
    table = str(zone.lake.table)
    cars = enrolled.cars[-PROBES:]
    plan = probe.Plan(zone.ports["mqtt"], enrolled.ca, cars, api, zone.ports["token"], table, seconds)
    file = folder / "probe.json"
    file.write_text(json.dumps(asdict(plan)))
    child = subprocess.run([sys.executable, HERE / "probe.py", file], stdout=subprocess.PIPE, check=True)
    delays: dict[str, Any] = json.loads(child.stdout)
    return delays


def storm(enrolled: Enrolled, cars: int, folder: Path) -> dict[str, Any]:
    """Connect all cars at the same moment; measure until the last may send."""
    with closing(fresh(enrolled, folder)) as zone:
        plan = Plan("127.0.0.1", zone.ports["mqtt"], enrolled.ca, enrolled.cars[:cars], None)
        with closing(Generator(plan, folder)) as generator:
            usage = zone.usage()
            connected = generator.step("storm")
            cpu = usage.stop()
            again = zone.usage()
            time.sleep(10)
            again.stop()
        return {
            "cars": cars,
            "connect_s": connected["seconds"],
            "codes": connected["codes"],
            "cpu_s": cpu,
            "generator_cpu_s": connected["cpu"],
            "idle_bytes": again.peak_total_bytes,
        }


def quantiles(values: list[float]) -> dict[str, float]:
    """Return p50, p99 and the largest."""
    if not values:
        return {"p50": float("nan"), "p99": float("nan"), "max": float("nan")}
    p50, p99 = np.quantile(values, [0.5, 0.99]).tolist()
    return {"p50": p50, "p99": p99, "max": max(values)}
