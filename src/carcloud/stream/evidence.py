"""What others than the governor wrote into GOVERNED: taken out, and kept as files until somebody has looked at them.

Rules:
* A file is flushed before its message is removed: where keys were lost and not a password, nothing is.
* Only what was not signed is taken out, and a chunk that was written once more behind itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from carcloud.backends.files import write_flushed
from carcloud.backends.nats import Bus, Message
from carcloud.errors import InputError
from carcloud.safety.keys import private_folder
from carcloud.stream import subjects
from carcloud.stream.chunk import Record, decode
from carcloud.stream.genuine import FORGED_DO, ForgedError, Verify, genuine

log = logging.getLogger(__name__)

MESSAGES_A_READ = 16
BYTES_A_READ = 16 * 1024 * 1024


class Evidence:
    """Reads one partition's chunks as the governor does, and keeps in `folder` what it takes out."""

    def __init__(self, cloud: Bus, folder: Path, partition: int, signed: Verify) -> None:
        self._cloud, self._folder, self._partition, self._signed = cloud, folder, partition, signed

    async def records(self, sequence: int, number: int) -> AsyncIterator[tuple[int, Record]]:
        """Yield (sequence, record) of the governor's chunks behind a sequence, and take out all others.

        `number`: that of the chunk at `sequence`; 0 where it is not known. Raise TryLaterError while the broker is
        away, or the disk is full.
        """
        while messages := await self._read(sequence):
            for message in messages:
                try:
                    record = genuine(message.data, self._partition, self._signed)
                    if number and record.number <= number:
                        raise ForgedError(f"Chunk {record.number} was written once more.", FORGED_DO)
                except ForgedError as error:
                    await self._take_out(message, error)
                else:
                    number = record.number
                    yield message.sequence, record
            sequence = messages[-1].sequence

    def erase(self, vehicle: str) -> None:
        """Delete the files that hold rows of a car whose data are erased."""
        for file in self._folder.glob("*.arrow"):
            try:
                found = vehicle in decode(file.read_bytes()).rows["vehicle"].dictionary.to_pylist()
            except InputError:  # no chunk at all, so no rows either
                found = vehicle.encode() in file.read_bytes()
            if found:
                file.unlink()

    def alarm(self) -> tuple[str, str] | None:
        """Return what to say and what to do as long as files are kept, None where there are none."""
        count = sum(1 for _ in self._folder.glob("*.arrow"))
        if not count:
            return None
        message = f"Written into the governed stream by another, and taken out: {count}, kept in {self._folder}."
        return message, f"{FORGED_DO} Then move the files away."

    async def _read(self, sequence: int) -> list[Message]:
        subject = subjects.governed(self._partition)
        return await self._cloud.read(subjects.GOVERNED, subject, sequence + 1, MESSAGES_A_READ, BYTES_A_READ)

    async def _take_out(self, message: Message, error: ForgedError) -> None:
        log.error("a chunk that is not the governor's is taken out", extra={"reason": str(error)})
        private_folder(self._folder)
        file = self._folder / f"{self._partition}-{message.sequence}-{message.received_us}.arrow"
        await asyncio.to_thread(write_flushed, file, message.data)
        await self._cloud.remove(subjects.GOVERNED, message.sequence)
