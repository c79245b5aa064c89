"""Reading GOVERNED: every fold follows the chunks from its own position.

Rules:
* A follower asks by chunk number and remembers nothing on the broker; the fold's position is stored with its effect.
* It is woken by the governor's word and looks by itself every second, so a lost word costs a second.
* A chunk that was purged before the fold read it is a break in the fold, and is said, never skipped in silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from carcloud.backends.nats import Bus
from carcloud.errors import ConflictError, TryLaterError
from carcloud.stream import subjects
from carcloud.stream.chunk import Chunk, decode, record_of

log = logging.getLogger(__name__)

CHUNKS_A_READ = 8
BYTES_A_READ = 24 * 1024 * 1024


class Follower:
    """Follows one partition's chunks."""

    def __init__(self, cloud: Bus, partition: int = 0) -> None:
        self._cloud, self._partition = cloud, partition
        self._woken = asyncio.Event()
        self.newest = self.oldest = 0

    async def chunks(self, position: int) -> AsyncIterator[Chunk]:
        """Yield the chunks after `position` in order, waiting for new ones; goes on through restarts of the broker.

        Raises:
            ConflictError: chunks after the position are gone, or the stream ends before it; the fold must be rebuilt
                from the lake or a backup.
        """
        stop = await self._cloud.listen(f"{subjects.CHUNK}.{self._partition}", self._on_chunk)
        try:
            while True:
                try:
                    async for chunk in self._stored(position):
                        position = chunk.record.number
                        yield chunk
                except TryLaterError as error:
                    log.warning("the governed stream is away", extra={"reason": str(error)})
                    await asyncio.sleep(0.2)
                await self._wait()
        finally:
            await stop()

    async def _stored(self, position: int) -> AsyncIterator[Chunk]:
        subject = subjects.governed(self._partition)
        last = await self._cloud.last(subjects.GOVERNED, subject)
        if last is None:
            return
        self.newest = record_of(last.data).number
        if self.newest < position:
            raise ConflictError(
                f"The stream ends with chunk {self.newest}; this fold stands at {position}.",
                "Restore stream, lake and twin from the same backup.",
            )
        start = last.sequence - (self.newest - position) + 1
        while start <= last.sequence:
            messages = await self._cloud.read(subjects.GOVERNED, subject, start, CHUNKS_A_READ, BYTES_A_READ)
            if not messages:
                return
            for message in messages:
                chunk = decode(message.data)
                if chunk.record.number != position + 1:
                    self.oldest = chunk.record.number
                    raise ConflictError(
                        f"Chunk {position + 1} is gone; the stream goes on with {chunk.record.number}.",
                        "Restore the zone from a backup, or rebuild this fold from the lake.",
                    )
                position += 1
                yield chunk
            start = messages[-1].sequence + 1

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), 1.0)
        except TimeoutError:
            return
        self._woken.clear()

    async def _on_chunk(self, _: str, number: bytes) -> None:
        self.newest = max(self.newest, int(number))
        self._woken.set()
