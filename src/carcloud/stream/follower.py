"""Reading GOVERNED: every fold follows the chunks from its own position.

Rules:
* A follower asks by chunk number and remembers nothing on the broker; the fold's position is stored with its effect.
* It is woken by the governor's word and looks by itself every second, so a lost word costs a second.
* A chunk that the governor did not sign is not given out; the follower stands before it until it is gone.
* A chunk that was purged before the fold read it is a break in the fold, and is said, never skipped in silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from carcloud.backends.nats import Bus
from carcloud.errors import ConflictError, TryLaterError
from carcloud.stream import subjects
from carcloud.stream.chunk import Chunk, decode
from carcloud.stream.genuine import Verify, genuine

log = logging.getLogger(__name__)

CHUNKS_A_READ = 8
BYTES_A_READ = 24 * 1024 * 1024


class Follower:
    """Follows one partition's chunks. `signed(statement, signature)`: whether the governor's key made it."""

    def __init__(self, cloud: Bus, signed: Verify, partition: int = 0) -> None:
        self._cloud, self._signed, self._partition = cloud, signed, partition
        self._woken = asyncio.Event()
        self.newest = self.oldest = 0

    async def chunks(self, position: int) -> AsyncIterator[Chunk]:
        """Yield the chunks after `position` in order, waiting for new ones. Raise as `messages` does."""
        async with aclosing(self.messages(position)) as messages:
            async for _, data in messages:
                yield decode(data)

    async def messages(self, position: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (number, bytes) of the chunks after `position`, waiting for new ones, through restarts of the broker.

        Raises:
            ConflictError: chunks after the position are gone, or the stream ends before it; the fold must be rebuilt
                from the lake or a backup.
            ForgedError: a ConflictError too: the next chunk is not the governor's, who is going to remove it.
        """
        stop = await self._cloud.listen(f"{subjects.CHUNK}.{self._partition}", self._on_chunk)
        try:
            while True:
                try:
                    async for number, data in self._stored(position):
                        position = number
                        yield number, data
                except TryLaterError as error:
                    log.warning("the governed stream is away", extra={"reason": str(error)})
                    await asyncio.sleep(0.2)
                await self._wait()
        finally:
            await stop()

    async def _stored(self, position: int) -> AsyncIterator[tuple[int, bytes]]:
        subject = subjects.governed(self._partition)
        last = await self._cloud.last(subjects.GOVERNED, subject)
        if last is None:
            return
        newest = self.newest = genuine(last.data, self._partition, self._signed).number
        if newest < position:
            raise ConflictError(
                f"The stream ends with chunk {newest}; this fold stands at {position}.",
                "Restore stream, lake and twin from the same backup.",
            )
        start = last.sequence - (newest - position) + 1
        if start < last.sequence:  # what was removed took a sequence, and no number
            start -= (await self._cloud.state(subjects.GOVERNED)).removed
        while start <= last.sequence:
            messages = [last]
            if start < last.sequence:
                messages = await self._cloud.read(subjects.GOVERNED, subject, start, CHUNKS_A_READ, BYTES_A_READ)
            if not messages:
                return
            for message in messages:
                known = message.sequence == last.sequence
                number = newest if known else genuine(message.data, self._partition, self._signed).number
                if number <= position:
                    continue
                if number != position + 1:
                    self.oldest = number
                    raise ConflictError(
                        f"Chunk {position + 1} is gone; the stream goes on with {number}.",
                        "Restore the zone from a backup, or rebuild this fold from the lake.",
                    )
                position += 1
                yield position, message.data
            start = messages[-1].sequence + 1

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(1.0):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def _on_chunk(self, _: str, number: bytes) -> None:
        self.newest = max(self.newest, int(number))
        self._woken.set()
