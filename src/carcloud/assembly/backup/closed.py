"""A zone that runs closed: its inner parts in this process and the broker beside it, no door and no API.

Rules:
* It is how a restored zone comes to rest before it opens: the same parts as ever fold the chunks, erase, and write the
  log, so that nothing here can differ from what they do.
* Nobody can come in: there is no gateway, and the broker lets in no car without one. Witnesses elsewhere are not asked.
* Nobody reads the lake, so what was replaced in it need not wait for readers.
* A ledger that cannot be written now is not waited for: its erasures stay open in the zone that opens.
* The broker ends with this process, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from carcloud.assembly.broker import NATS, write_broker_file
from carcloud.assembly.context import Context
from carcloud.assembly.processes import audit, governor, lake, signer, twin, witness
from carcloud.assembly.zonefile import ZoneFile, new_zone_file, sole_instance
from carcloud.backends.nats import Bus
from carcloud.backends.nats_server import executable
from carcloud.backends.processes import die_with_parent
from carcloud.backends.records import Records
from carcloud.backends.records.erasures import Part
from carcloud.errors import CarcloudError, TryLaterError
from carcloud.safety.audit.log import CHECKPOINT
from carcloud.safety.audit.note import parse_key, parse_note
from carcloud.safety.backup.keeper import waiting
from carcloud.safety.identity import Authority
from carcloud.safety.signer import Verifier
from carcloud.settings import Folder, Settings
from carcloud.stream import subjects
from carcloud.stream.chunk import record_of

PARTS = {"signer": signer, "witness": witness, "governor": governor, "lake": lake, "twin": twin, "audit": audit}
ERASING: tuple[Part, ...] = ("stream", "twin", "lake")
STILL_S = 300.0
LOOK_EVERY_S = 0.3
PARTITION = 0


async def settle(
    settings: Settings, folder: Folder, records: Records, chunks: Iterable[bytes], said: Callable[[str], None]
) -> None:
    """Put chunks into a new stream, and run the zone's parts until all of them is folded and all erasures are done.

    Raises:
        TryLaterError: it does not come to rest. Any other error of ours is a part's.
    """
    settings = closed(settings)
    async with _broker(settings, folder) as zone:
        newest = await _fill(zone, settings, chunks)
        running = [
            asyncio.create_task(part.run(Context(name, settings, folder, zone)), name=name)
            for name, part in PARTS.items()
        ]
        try:
            await _rest(running, lambda: _left(records, folder, newest), said)
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=10)


def closed(settings: Settings) -> Settings:
    """Return the settings of a zone that nobody can reach or ask."""
    return replace(
        settings,
        listen=replace(settings.listen, host="127.0.0.1"),
        query=replace(settings.query, time_s=0.0),
        audit=replace(settings.audit, witnesses=()),
    )


@asynccontextmanager
async def _broker(settings: Settings, folder: Folder) -> AsyncIterator[ZoneFile]:
    with sole_instance(folder):
        zone = new_zone_file(settings, folder, free_ports=True)
        write_broker_file(settings, folder, zone, Authority(folder.keys))
        with (folder.logs / f"{NATS}.out").open("ab") as out:
            command = [executable(), "-c", str(folder.run / "nats.conf")]
            broker = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out, preexec_fn=die_with_parent)
        try:
            yield zone
        finally:
            with contextlib.suppress(ProcessLookupError):
                broker.terminate()
            await broker.wait()


async def _fill(zone: ZoneFile, settings: Settings, chunks: Iterable[bytes]) -> int:
    """Make the stream; return the number of its newest chunk."""
    bus = await Bus.connect(zone.bus("cloud"), "restore")
    try:
        limit = settings.governor.governed_bytes
        await bus.ensure_stream(subjects.GOVERNED, [subjects.GOVERNED_SUBJECTS], memory=False, limit_bytes=limit)
        last = number = 0
        for chunk in chunks:
            last = await bus.append(subjects.governed(PARTITION), chunk, expected_last=last)
            number = record_of(chunk).number
        return number
    finally:
        await bus.close()


async def _rest(
    running: list[asyncio.Task[None]], look: Callable[[], dict[str, int]], said: Callable[[str], None]
) -> None:
    """Wait until nothing is left to do; raise what ended a part."""
    moved_at, before = time.monotonic(), None
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for task in running:
            if task.done():
                task.result()
                raise TryLaterError(f"The part {task.get_name()} ended while the zone was restored.")
        try:
            left = await asyncio.to_thread(look)
        except CarcloudError:
            continue  # a database that is locked for a moment
        if not any(left.values()):
            return
        if left != before:
            moved_at, before = time.monotonic(), left
            said(", ".join(f"{what}: {count}" for what, count in left.items() if count))
        if time.monotonic() - moved_at > STILL_S:
            raise TryLaterError("The restored zone does not come to rest.", "Look into restore.log in its logs folder.")


def _left(records: Records, folder: Folder, newest: int) -> dict[str, int]:
    """Return how much is left to do, by what it is."""
    positions = records.positions()
    newest = max(newest, *positions.values())
    behind = [newest - positions.get((fold, PARTITION), 0) for fold in ("lake", "audit")]
    erasing = {erasure.id for part in ERASING for erasure in records.erasures.lacking(part)}
    return {
        "chunks to fold": max(behind),
        "erasures": len(erasing),
        "erasures to put into ledgers": waiting(records, Verifier(folder.keys, "ledger")),
        "acts to write": records.audit.waiting(),
        "checkpoints to witness": int(not _witnessed(folder)),
    }


def _witnessed(folder: Folder) -> bool:
    note = parse_note((folder.audit / CHECKPOINT).read_bytes())
    return note.of(parse_key((folder.witness / "witness.pub").read_text())) is not None
