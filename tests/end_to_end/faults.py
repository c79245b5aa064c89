"""kill -9 of every part of a zone and of its cars, under load, and the table of what became of the data."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path

import psutil

from tests.end_to_end.load import Account, Load
from tests.zone import RunningZone, carcloud, listening, running_zone, until

PARTS = (
    *("nats-server", "governor", "twin", "lake", "api", "signer", "audit", "witness", "gateway-1", "gateway-2"),
    "agent",
)
LIMIT_RSS_BYTES = 700 * 1024 * 1024
LIMIT_IDLE_CORES = 0.5


@dataclass
class Strikes:
    """How often a part was killed, and how long it took each time until the zone acknowledged again, in seconds."""

    part: str
    times: int = 0
    back_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What was killed, what became of the load, and how the zone was afterwards."""

    strikes: list[Strikes]
    accounts: list[Account]
    stale_twins: list[str]
    verdicts: list[str]
    seconds: float
    largest: tuple[str, int]
    idle_cores: float

    @property
    def good(self) -> bool:
        """Tell whether nothing acknowledged was lost, nothing stored twice, and all else as it should be."""
        whole = all(account.whole for account in self.accounts)
        calm = self.largest[1] < LIMIT_RSS_BYTES and self.idle_cores < LIMIT_IDLE_CORES
        return whole and calm and not self.stale_twins and all(said.endswith("good") for said in self.verdicts)

    def markdown(self) -> str:
        """Return the tables."""
        killed = [(one.part, one.times, f"{statistics.median(one.back_s):.1f}") for one in self.strikes]
        total = Account(
            "all", "", *(sum(column) for column in list(zip(*map(astuple, self.accounts), strict=True))[2:])
        )
        names = [column.name for column in fields(Account)]
        name, size = self.largest
        return "\n".join(
            [
                _table(["killed", "times", "acknowledged again after, s (median)"], killed),
                _table(names, [astuple(account) for account in [*self.accounts, total]]),
                f"In {self.seconds:.0f} s. `carcloud verify` audit and lake: {'; '.join(self.verdicts)}. Twins that do "
                f"not show the last sample: {len(self.stale_twins)}. Afterwards the largest process was {name} with "
                f"{size >> 20} MiB, and the idle zone used {self.idle_cores:.2f} cores.",
                "",
            ]
        )


class Storm:
    """Strikes a running zone and its load."""

    def __init__(self, zone: RunningZone, load: Load, chance: random.Random) -> None:
        self._zone, self._load, self._chance = zone, load, chance
        self.strikes = {part: Strikes(part) for part in PARTS}

    def in_turn(self) -> None:
        """Kill each part once, each after the zone acknowledges again."""
        for part in PARTS:
            began = time.monotonic()
            self._strike(part)
            before = self._load.acknowledged()
            until(lambda before=before: self._load.acknowledged() > before, f"no ack after {part} was killed", 120)
            self.strikes[part].back_s.append(time.monotonic() - began)
            time.sleep(self._chance.uniform(0.2, 0.8))

    def at_random(self) -> None:
        """Kill each part once in any order, some two at a time, not waiting for more than the new process."""
        order = self._chance.sample(PARTS, len(PARTS))
        for part in order:
            self._strike(part)
            if self._chance.random() < 0.7:
                time.sleep(self._chance.uniform(0.5, 1.5))

    def _strike(self, part: str) -> None:
        self.strikes[part].times += 1
        if part == "agent":
            self._load.kill(self._chance.randrange(2))
            return
        old = until(lambda: self._zone.children().get(part), f"{part} does not come back")
        self._zone.kill(part)
        until(lambda: self._zone.children().get(part, old) != old, f"{part} does not come back")


def run_faults(data: Path, kills: int, seed: int, said: Callable[[str], None] = lambda _: None) -> Report:
    """Run a zone under load, kill every part of it so many times, and hold the lake against the cars' journals."""
    began = time.monotonic()
    with running_zone(data, config=listening()) as zone, Load(zone) as load:
        load.flow(0)
        storm = Storm(zone, load, random.Random(seed))
        for round_ in range(kills):
            (storm.in_turn if round_ % 2 == 0 else storm.at_random)()
            said(f"round {round_ + 1} of {kills}: {load.acknowledged()} batches acknowledged")
        load.finish()
        until(lambda: zone.health() == "ok", "the zone is not well after the load")
        accounts, stale = load.accounts(), load.stale_twins()
        checks = [carcloud("verify", what, "--data", str(data)).stdout.strip() for what in ("audit", "lake")]
        verdicts = [line for said in checks for line in said.splitlines()[-1:] or ["nothing"]]
        largest, idle = _largest(zone), _idle_cores(zone)
        seconds = time.monotonic() - began
        return Report(list(storm.strikes.values()), accounts, stale, verdicts, seconds, largest, idle)


def _largest(zone: RunningZone) -> tuple[str, int]:
    sizes = {name: psutil.Process(pid).memory_info().rss for name, pid in zone.children().items()}
    return max(sizes.items(), key=lambda item: item[1])


def _idle_cores(zone: RunningZone, seconds: float = 5.0) -> float:
    processes = [psutil.Process(pid) for pid in [zone.process.pid, *zone.children().values()]]
    before = [sum(process.cpu_times()[:2]) for process in processes]
    time.sleep(seconds)
    after = [sum(process.cpu_times()[:2]) for process in processes]
    return (sum(after) - sum(before)) / seconds


def _table(head: list[str], rows: Sequence[tuple[object, ...]]) -> str:
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
