"""A run: a planner driven through scenarios, shard by shard, its results kept in the lake's folder.

Rules:
* A run's id is made from all that decides its results: planner and its file, scenarios, settings, software. So the same
  run again goes on where it was cut off, and does nothing where it is done.
* Which process does which shard, in which order and on which machine, changes nothing in the results.
* A process that dies takes no other scenario with it: its shard is done again, one scenario at a time, and the one that
  ends its process once more is told as the planner's fault.
* A scenario that is named twice is driven once, and the run says so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from carcloud import __version__
from carcloud.backends.compute import Compute, Lost
from carcloud.backends.files import flush, make_folder
from carcloud.errors import InputError
from carcloud.research.runs.results import digest_of, folder_of, results_of, table_of, totals_of, write
from carcloud.research.runs.shard import Shard, done
from carcloud.research.simulation.references import planner_hash
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store

SHARD = 256
"""Scenarios in one shard."""
LIMIT_SCENARIOS = 1_000_000
DIED = "The planner ended the process that it ran in."
_ABOUT = "run.json"

Progress = Callable[[int, int], None]
"""Is told how many scenarios are done, and of how many."""


@dataclass(frozen=True)
class Wanted:
    """What a run is to be.

    Args:
        ids: of the scenarios, sorted, each once. repeated: how often one was named again.
        planner: its reference. planner_hash: of what it stands for.
    """

    tenant: str
    ids: tuple[str, ...]
    planner: str
    planner_hash: str
    settings: Settings
    repeated: int = 0

    @property
    def scenarios_hash(self) -> str:
        """Return the SHA-256 over the ids."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    @property
    def told(self) -> dict[str, Any]:
        """Return the settings that decide results, as the records keep them."""
        return {name: value for name, value in vars(self.settings).items() if name not in ("threads", "keep")}

    @property
    def id(self) -> str:
        """Return the run's id, 16 hexadecimal digits."""
        said = [self.planner_hash, self.scenarios_hash, self.told, __version__]
        return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """A run that is done: where its results lie, their digest, and counts of them."""

    id: str
    folder: Path
    digest: str
    totals: dict[str, int]


def wanted(store: Store, tenant: str, ids: Iterable[str], planner: str, settings: Settings) -> Wanted:
    """Say what a run is to be.

    Raises:
        InputError: there are no scenarios, or too many, or no such planner.
        MissingError: one is not in the store.
    """
    given = list(ids)
    once = tuple(sorted(set(given)))
    if not 0 < len(once) <= LIMIT_SCENARIOS:
        raise InputError(f"{len(once)} scenarios are out of range.", f"Name 1 to {LIMIT_SCENARIOS}.")
    store.scenarios(once)
    return Wanted(tenant, once, planner, planner_hash(planner), settings, len(given) - len(once))


def run(asked: Wanted, lake: Path, compute: Compute, progress: Progress = lambda done, all_: None) -> Run:
    """Do what of a run is not done yet; return the whole of it."""
    folder = folder_of(lake, asked.tenant, asked.id)
    make_folder(folder)
    _tell(folder, asked)
    planner = _anywhere(asked.planner)
    shards = [
        Shard(lake, asked.tenant, asked.ids[at : at + SHARD], planner, asked.settings)
        for at in range(0, len(asked.ids), SHARD)
    ]
    files = [folder / _name(number, shard) for number, shard in enumerate(shards)]
    for left in set(folder.glob("shard-*.parquet")) - set(files):
        left.unlink()
    missing = [at for at, path in enumerate(files) if not path.exists()]
    count = len(asked.ids) - sum(len(shards[at].ids) for at in missing)
    progress(count, len(asked.ids))
    for at, answer in compute.each(done, [shards[at] for at in missing]):
        found = _one_by_one(shards[missing[at]], compute) if isinstance(answer, Lost) else answer
        write(files[missing[at]], found)
        count += found.num_rows
        progress(count, len(asked.ids))
    table = results_of(folder)
    return Run(asked.id, folder, digest_of(table), totals_of(table) | {"repeated": asked.repeated})


def _one_by_one(shard: Shard, compute: Compute) -> Any:
    alone = [Shard(shard.lake, shard.tenant, (one,), shard.planner, shard.settings) for one in shard.ids]
    rows: list[dict[str, Any]] = []
    for at, answer in compute.each(done, alone):
        rows += [{"scenario": shard.ids[at], "fault": DIED}] if isinstance(answer, Lost) else answer.to_pylist()
    return table_of(rows)


def _anywhere(planner: str) -> str:
    """Return a planner's reference as a process with another working folder understands it."""
    path, _, name = planner.rpartition(":")
    return f"{Path(path).absolute()}:{name}" if path.endswith(".py") else planner


def _name(number: int, shard: Shard) -> str:
    told = hashlib.sha256("\n".join(shard.ids).encode()).hexdigest()[:12]
    return f"shard-{number:05}-{told}.parquet"


def _tell(folder: Path, asked: Wanted) -> None:
    """Say beside the results what they are of."""
    path = folder / _ABOUT
    if path.exists():
        return
    about = {
        "run": asked.id,
        "planner": asked.planner,
        "planner_hash": asked.planner_hash,
        "scenarios": len(asked.ids),
        "scenarios_hash": asked.scenarios_hash,
        "settings": asked.told,
        "software_version": __version__,
    }
    part = path.with_name(f".{_ABOUT}.{os.getpid()}")
    part.write_bytes(orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    part.replace(path)
    flush(folder)
