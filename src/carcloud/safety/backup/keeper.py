"""Writing erasures into the ledgers beside the backups: an erasure is not done before each of them has it.

Rules:
* The records know the folders of backups, from the first backup on. A folder that is away keeps erasures open, and an
  alarm stands; where it is gone for good, the zone is told to forget it. The others are written all the same.
* Pseudonyms of an erased car are in the ledger sealed under the zone's own key, as they are in the records.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from carcloud.backends.records import Entry, Erasure, Records
from carcloud.backends.records.noted import put_noted
from carcloud.errors import CarcloudError, MissingError
from carcloud.safety.backup.ledger import FILE, Signed, append, read
from carcloud.safety.seal import NameVault
from carcloud.safety.signer import Signature

log = logging.getLogger(__name__)

FOLDERS = "backups"
EVERY_S = 2.0


def folders(records: Records) -> list[Path]:
    """Return the folders of backups that a zone knows."""
    return [Path(path) for path in orjson.loads(records.get_meta(FOLDERS) or "[]")]


def know_folder(records: Records, folder: Path) -> None:
    """Let the zone know a folder of backups."""
    known = folders(records)
    if folder not in known:
        set_folders(records, [*known, folder])


def set_folders(records: Records, known: Sequence[Path]) -> None:
    """Let the zone know these folders of backups and no other."""
    records.put_meta(FOLDERS, orjson.dumps([str(path) for path in known]).decode())


def forget_folder(records: Records, folder: Path, tenant: str) -> int:
    """Let the zone know a folder no more, noted for the audit log; return how many erasures waited.

    Raises:
        MissingError: it knows no such folder.
    """
    known = folders(records)
    if folder not in known:
        do = f"It knows: {', '.join(map(str, known))}." if known else "It knows none."
        raise MissingError(f"The zone knows no backups in {folder}.", do)
    waited = len(records.erasures.lacking("ledger"))
    entry = Entry("machine", "forgetBackups", "zone", facts={"erasures": waited}, tenant=tenant)
    put_noted(records, FOLDERS, orjson.dumps([str(one) for one in known if one != folder]).decode(), entry)
    return waited


def sayings(erasures: Sequence[Erasure], vault: NameVault) -> list[dict[str, Any]]:
    """Return what the ledger says of erasures, the oldest first."""
    return [
        {
            "erasure": {
                "id": erasure.id,
                "vehicle": erasure.vehicle,
                "tenant": erasure.tenant,
                "at": erasure.at.isoformat(),
                "actor": erasure.actor,
                "names": [vault.seal(name) for name in erasure.names],
            }
        }
        for erasure in sorted(erasures, key=lambda one: (one.at, one.id))
    ]


def erasure_of(said: dict[str, Any], vault: NameVault) -> Erasure:
    """Return the erasure that a line of the ledger tells of."""
    about = said["erasure"]
    names = tuple(vault.open(name) for name in about["names"])
    at = datetime.fromisoformat(about["at"])
    return Erasure(about["id"], about["vehicle"], about["tenant"], at, about["actor"], None, None, {}, names)


def waiting(records: Records, signed: Signed) -> int:
    """Return how many erasures wait for a ledger that can be written, or to be done where all can."""
    open_ = {erasure.id for erasure in records.erasures.lacking("ledger")}
    found = [_lacking(folder, open_, signed) for folder in folders(records)] if open_ else []
    reached = [lacking for lacking in found if lacking is not None]
    return len(open_) if len(reached) == len(found) else len(set[str]().union(*reached))


def _lacking(folder: Path, open_: set[str], signed: Signed) -> set[str] | None:
    """Return which erasures a folder's ledger lacks; None where it takes none."""
    file = folder / FILE
    try:
        if not os.access(file if file.exists() else folder, os.W_OK):
            return None
        lines = read(file, signed) if file.exists() else []
    except (CarcloudError, OSError):
        return None
    return open_ - {line.said["erasure"]["id"] for line in lines if "erasure" in line.said}


class LedgerKeeper:
    """Keeps a zone's ledgers. `sign` and `signed`: the signer's word on lines of the ledger."""

    def __init__(self, records: Records, vault: NameVault, sign: Callable[[bytes], Signature], signed: Signed) -> None:
        self._records, self._vault, self._sign, self._signed = records, vault, sign, signed
        self._alarm: dict[str, str] | None = None

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.write)
                self._alarm = None
            except CarcloudError as error:
                self._raise_alarm(error)
            await asyncio.sleep(EVERY_S)

    def write(self) -> None:
        """Write what is in no ledger yet, into each that takes it.

        A ledger that is begun anew is told of all erasures there were.
        Raise TryLaterError or ConflictError where one takes nothing.
        """
        open_ = self._records.erasures.lacking("ledger")
        if not open_:
            return
        known, trouble = folders(self._records), list[CarcloudError]()
        for folder in known:
            new = not (folder / FILE).exists()
            told = sayings(self._records.erasures.all() if new else open_, self._vault)
            try:
                append(folder / FILE, told, self._sign, self._signed)
            except CarcloudError as error:
                trouble.append(error)
        if trouble:
            raise trouble[0]
        for erasure in open_:
            self._records.erasures.finish(erasure.id, "ledger", {"folders": len(known)})

    def alarms(self) -> list[dict[str, str]]:
        """Return the alarm that stands while a ledger takes nothing."""
        return [self._alarm] if self._alarm else []

    def _raise_alarm(self, error: CarcloudError) -> None:
        if self._alarm is None or self._alarm["message"] != error.message:
            log.error("an erasure waits for its ledger", extra={"reason": error.message})
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            do = f"{error.do} Where the folder is gone for good: carcloud backup forget FOLDER."
            self._alarm = {"code": "ledger_waits", "message": error.message, "do": do, "since": since}
