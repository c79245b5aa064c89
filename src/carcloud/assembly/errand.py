"""Carries out one errand, in a process of its own: `python -m carcloud.assembly.errand DATA TENANT ID [CONFIG]`.

- It ends with 0 when the errand is over, done or failed with a reason; with TRY_LATER when it waits on.
- A run and a verdict are made in the name of who asked.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carcloud.assembly.candidates import signer_of
from carcloud.assembly.records import open_records
from carcloud.backends.compute import Processes
from carcloud.backends.records import Records
from carcloud.backends.records.errands import OPEN, Errand
from carcloud.errors import CarcloudError, InputError, TryLaterError
from carcloud.research.errands import TRY_LATER
from carcloud.research.gate.limits import limits_from, limits_of
from carcloud.research.mining.queries import saved_queries
from carcloud.research.runs.choosing import chosen
from carcloud.research.runs.desk import Desk
from carcloud.research.runs.run import wanted
from carcloud.research.simulation.builtin import CODES
from carcloud.research.simulation.settings import Settings as Simulated
from carcloud.research.store import Store
from carcloud.settings import Folder, Settings, settings_of

NICENESS = 5
"""Errands give way to what comes in."""


def run(settings: Settings, folder: Folder, tenant: str, id: str) -> int:  # noqa: A002
    """Carry out an errand; return the exit code."""
    with contextlib.closing(open_records(settings, folder)) as records:
        found = records.errands.get(tenant, id)
        if found.state not in OPEN:
            return 0
        found = records.errands.move(found, "running", datetime.now(UTC))
        try:
            make = _drive if found.kind == "run" else _judge
            result = make(settings, folder, records, found)
        except TryLaterError as error:
            print(error, file=sys.stderr)
            return TRY_LATER
        except CarcloudError as error:
            records.errands.move(found, "failed", datetime.now(UTC), error=str(error))
            return 0
        records.errands.move(found, "done", datetime.now(UTC), result=result)
    return 0


def _drive(settings: Settings, folder: Folder, records: Records, found: Errand) -> str:
    said, lake = found.said, folder.lake.absolute()
    if said["planner"] not in CODES:
        raise InputError("The zone drives its own planners only.", "Run yours by `carcloud research run`.")
    store = Store(lake, found.tenant)
    queries = saved_queries(records, found.tenant)
    ids, query = chosen(store, said["scenarios"], said["recordings"], said["query"], queries)
    told = Simulated(**_settings(said))
    records.errands.tell(found, wanted(store, found.tenant, ids, said["planner"], told).id)
    with contextlib.closing(Processes(max(1, len(os.sched_getaffinity(0)) - 1))) as compute:
        return Desk(records, lake, found.tenant, found.made_by).run(ids, said["planner"], told, compute, query).id


def _judge(settings: Settings, folder: Folder, records: Records, found: Errand) -> str:
    said = found.said
    limits = limits_from(said["limits"].encode(), "limits") if said["limits"] else limits_of()
    desk = Desk(records, folder.lake.absolute(), found.tenant, found.made_by)
    with signer_of(settings, folder) as sign:
        return desk.judge(said["baseline"], said["candidate"], limits, settings.zone, sign)[0].digest


def _settings(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("step_s", "duration_s", "traffic", "react", "seed")}


if __name__ == "__main__":
    os.nice(NICENESS)
    given = argparse.ArgumentParser()
    for name in ("data", "tenant", "errand"):
        given.add_argument(name)
    given.add_argument("config", nargs="?")
    asked = given.parse_args()
    where = Folder(Path(asked.data))
    known = settings_of(Path(asked.config) if asked.config else None, where)
    sys.exit(run(known, where, asked.tenant, asked.errand))
