"""Importing a recording: its files are read by the adapter of their format, and its scenarios added to the store.

Rules:
* One import at a time in a data folder, whoever runs it. A crash ends it; whoever imports next begins it again, and
  what is in the store already is not added again.
* It is judged again before it is read: a consent may have ended meanwhile.
* A scenario that cannot be read is named and counted, and the others go on. Where none can be read, or the file as a
  whole cannot, the recording is refused, and its bytes go.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from carcloud.backends.objects import Objects
from carcloud.backends.records import Records
from carcloud.backends.records.recordings import LIMIT_REFUSALS, Recording
from carcloud.errors import CarcloudError, InputError, TryLaterError
from carcloud.research.adapters.adapter import LIMIT_SCENARIOS, Options, Progress, Refused, reader_for
from carcloud.research.lawful import judge
from carcloud.research.scenario import Scenario
from carcloud.research.store import Added, Store
from carcloud.safety.grants.grant import Ground

SAY_EVERY_S = 0.5
LIMIT_REASON = 500
"""Characters of a refusal that are kept."""


@dataclass(frozen=True)
class Importer:
    """Who imports.

    Args:
        lake: the lake's folder. scratch: where the files of a recording are laid out while it is read.
        ground: what the zone's governance says now.
        told: hears how far it is, 0 to 1, beside the records.
    """

    records: Records
    objects: Objects
    lake: Path
    scratch: Path
    ground: Callable[[], Ground]
    actor: str
    told: Progress = lambda share: None

    def run(self, tenant: str, id: str) -> Recording:  # noqa: A002
        """Import a recording that waits, or whose import was cut off; return it as it is then.

        Raises:
            MissingError: there is none of this id.
            TryLaterError: records, store or disk are away or full; it waits on.
        """
        with alone(self.scratch):
            found = self.records.recordings.get(tenant, id)
            if found.state not in ("waiting", "importing"):
                return found
            if found.state == "waiting":
                found = self.records.recordings.move(found, "importing", self.actor, _now(), progress=0.0)
            try:
                return self._import(found)
            except TryLaterError:
                raise
            except CarcloudError as error:
                return self._refuse(found, str(error))
            except MemoryError:
                return self._refuse(found, "Its import needs more memory than it may have.")

    def refuse(self, tenant: str, id: str, why: str) -> Recording:  # noqa: A002
        """Refuse a recording whose import was ended from outside; one that is done by now stays."""
        with alone(self.scratch):
            found = self.records.recordings.get(tenant, id)
            return self._refuse(found, why) if found.state in ("waiting", "importing") else found

    def _import(self, found: Recording) -> Recording:
        store, seen = Store(self.lake, found.tenant), _Seen()
        judge(self.records, self.ground(), found.tenant, found.purpose, found.vehicle, found.licence, _now())
        added = store.added(found.id)
        if added is not None:  # a crash came between the store and the records
            return self._finish(found, added)
        with self._laid_out(found) as files:
            main = _main(found, files)
            reader = reader_for(main, found.format or None)
            told = _Spoken(self._teller(found))
            read = reader.read(main, _options(found, files), told)
            added = store.add(found.id, self._told_before(found, seen, _readable(read, seen)))
        if not added.ids and not added.duplicates:
            store.drop([found.id])
            return self._refuse(found, _nothing(seen), seen)
        return self._finish(self.records.recordings.get(found.tenant, found.id), added, reader.FORMAT)

    def _told_before(self, found: Recording, seen: _Seen, read: Iterator[Scenario]) -> Iterator[Scenario]:
        """Pass the scenarios on; keep what was refused before the store keeps what was not."""
        yield from read
        if seen.refused:
            counts = {"refused": seen.refused, "refusals": seen.kept, "progress": 1.0}
            self.records.recordings.move(found, "importing", self.actor, _now(), **counts)

    def _finish(self, found: Recording, added: Added, form: str = "") -> Recording:
        counts = {"scenarios": len(added.ids), "duplicates": added.duplicates, "progress": 1.0}
        return self.records.recordings.move(
            found, "imported", self.actor, _now(), format=form or found.format, **counts
        )

    def _refuse(self, found: Recording, why: str, seen: _Seen | None = None) -> Recording:
        Store(self.lake, found.tenant).drop([found.id])
        self.objects.delete(found.key)
        seen, now = seen or _Seen(), self.records.recordings.get(found.tenant, found.id)
        if now.state not in ("waiting", "importing"):
            return now  # erased meanwhile
        changes = {"error": why[:LIMIT_REASON], "refused": seen.refused, "refusals": seen.kept}
        return self.records.recordings.move(now, "refused", self.actor, _now(), **changes)

    def _teller(self, found: Recording) -> Progress:
        def tell(share: float) -> None:
            self.records.recordings.tell(found.id, share)
            self.told(share)

        return tell

    @contextmanager
    def _laid_out(self, found: Recording) -> Iterator[Path]:
        """Lay the files of a recording out in a folder of their own, as long as they are read."""
        for left in self.scratch.iterdir():  # by an import that was cut off
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        folder = self.scratch / found.id
        folder.mkdir(mode=0o700)
        try:
            begin = 0
            for file in found.files:
                path = folder / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                self.objects.fetch(found.key, begin, begin + file.bytes, path)
                begin += file.bytes
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(scratch: Path) -> Iterator[None]:
    """Be the only one who imports or forgets in a data folder; wait for whoever does."""
    scratch.mkdir(parents=True, mode=0o700, exist_ok=True)
    handle = os.open(scratch / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@dataclass
class _Seen:
    """What an import came across and could not read."""

    refused: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.first)

    def refuse(self, one: Refused) -> None:
        self.refused += 1
        if len(self.first) < LIMIT_REFUSALS:
            self.first.append((one.name[:LIMIT_REASON], str(one.error)[:LIMIT_REASON]))


class _Spoken:
    """Passes progress on, not more often than anybody wants to know."""

    def __init__(self, told: Progress) -> None:
        self._told, self._at = told, 0.0

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._at >= SAY_EVERY_S:
            self._at = now
            self._told(share)


def _readable(read: Iterator[Scenario | Refused], seen: _Seen) -> Iterator[Scenario]:
    for number, one in enumerate(read, 1):
        if number > LIMIT_SCENARIOS:
            raise InputError(f"It has more than {LIMIT_SCENARIOS} scenarios.", "Send it in several recordings.")
        if isinstance(one, Refused):
            seen.refuse(one)
        else:
            yield one


def _nothing(seen: _Seen) -> str:
    if not seen.refused:
        return "It has no scenario."
    name, why = seen.first[0]
    return f"None of its {seen.refused} scenarios can be read. The first, {name}: {why}"


def _main(found: Recording, files: Path) -> Path:
    if found.options.get("main"):
        return files / str(found.options["main"])
    beside = {found.options.get("mapping"), found.options.get("road")}
    others = [file.name for file in found.files if file.name not in beside]
    return files / others[0] if len(others) == 1 else files


def _options(found: Recording, files: Path) -> Options:
    mapping, road = (found.options.get(name) for name in ("mapping", "road"))
    return Options(
        mapping=files / mapping if mapping else None,
        road=files / road if road else None,
        parameters=dict(found.options.get("parameters", {})),
    )


def _now() -> datetime:
    return datetime.now(UTC)
