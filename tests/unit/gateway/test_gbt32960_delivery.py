"""Delivery without a broker: a strict stand-in for the governor acknowledges, forgets, and is killed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from carcloud.backends.nats import Bus
from carcloud.gateway.gbt32960.columns import Samples
from carcloud.gateway.gbt32960.delivery import LIMIT_FRAMES, Delivery
from carcloud.gateway.gbt32960.numbers import Numbers
from carcloud.stream import subjects
from carcloud.vehicle.batch import IdTable, decode

TABLE = IdTable((("Vehicle.Speed", None), ("Vehicle.TraveledDistance", None)))


class Governor(Bus):
    """Takes what is published in the order of its numbers, and acknowledges it where it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: dict[tuple[str, int], int] = {}
        self.kept: list[tuple[str, int]] = []
        self.answers = True
        self._heard: Callable[[str, bytes], Awaitable[None]] | None = None

    async def listen(
        self, subject: str, heard: Callable[[str, bytes], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        self._heard = heard
        return lambda: asyncio.sleep(0)

    async def publish(self, subject: str, data: bytes) -> None:
        origin = subjects.origin(subject)
        assert origin is not None
        if origin.kind == "batch":
            batch = decode(data)
            queue, known = batch.queue, self.marks.get((origin.vehicle, batch.queue), 0)
            if batch.number == known + 1:
                self.marks[origin.vehicle, queue] = batch.number
                self.kept += [(origin.vehicle, int(at) + batch.base_us) for at in batch.times]
        else:
            queue = int(orjson.loads(data)["queue"], 16)
        if self.answers and self._heard is not None:
            number = self.marks.get((origin.vehicle, queue), 0)
            body: dict[str, Any] = {"queue": f"{queue:016x}", "number": number}
            told = self._heard(subjects.ack(origin.tenant, origin.vehicle), orjson.dumps(body))
            asyncio.get_running_loop().call_soon(asyncio.ensure_future, told)


def frame(second: int) -> tuple[bytes, Samples]:
    return second.to_bytes(8, "big"), (second * 1_000_000, (0,), (float(second),))


class Door:
    """A delivery that runs, and what was answered through it."""

    def __init__(self, folder: Path, governor: Governor) -> None:
        self.numbers = Numbers(folder / "numbers.sqlite")
        self.delivery = Delivery(governor, self.numbers, TABLE)
        self.answered: list[int] = []
        self._task = asyncio.ensure_future(self.delivery.run())

    async def report(self, vehicle: str, *seconds: int) -> list[bool]:
        lane = await self.delivery.open(vehicle, "default")
        done = [self._done(second) for second in seconds]
        return [self.delivery.take(lane, *frame(at), each) for at, each in zip(seconds, done, strict=True)]

    def _done(self, second: int) -> Callable[[bool], None]:
        return lambda durable: self.answered.append(second if durable else -second)

    async def until(self, many: int) -> None:
        async with asyncio.timeout(30):
            while len(self.answered) < many:
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        self.numbers.close()


def test_frames_are_answered_once_and_join_while_a_batch_is_on_its_way(tmp_path: Path) -> None:
    async def run() -> None:
        governor = Governor()
        door = Door(tmp_path, governor)
        assert all(await door.report("a", 1, 2, 3))
        assert all(await door.report("a", 4, 2))
        await door.until(4)
        assert sorted(door.answered) == [1, 2, 3, 4]
        assert await door.report("a", 3) == [True]
        assert door.answered[-1] == 3, "known already: answered, and sent no more"
        assert sorted(governor.kept) == [("a", second * 1_000_000) for second in (1, 2, 3, 4)]
        await door.kill()

    asyncio.run(run())


def test_a_door_that_died_knows_what_was_durable_and_takes_the_rest_again(tmp_path: Path) -> None:
    async def run() -> None:
        governor = Governor()
        governor.answers = False
        first = Door(tmp_path, governor)
        await first.report("a", 1, 2)
        async with asyncio.timeout(30):
            while not governor.kept:
                await asyncio.sleep(0.01)
        await first.kill()
        assert first.answered == []
        governor.answers = True
        second = Door(tmp_path, governor)
        await second.report("a", 1, 2, 3)
        await second.until(3)
        assert sorted(governor.kept) == [("a", second * 1_000_000) for second in (1, 2, 3)], "none stands twice"
        await second.kill()

    asyncio.run(run())


def test_a_number_that_never_came_is_never_used_for_other_content(tmp_path: Path) -> None:
    async def run() -> None:
        governor = Governor()
        first = Door(tmp_path, governor)
        await first.report("a", 1)
        await first.until(1)
        await first.kill()
        governor.marks.clear()
        (known,) = [await asyncio.to_thread(lambda: Numbers(tmp_path / "numbers.sqlite"))]
        before = known.of("a")
        known.close()
        second = Door(tmp_path, governor)
        await second.report("a", 1)
        await second.until(1)
        assert before is not None
        assert ("a", before[0]) not in governor.marks, "the queue began anew"
        await second.kill()

    asyncio.run(run())


def test_what_waits_is_bounded_and_what_may_not_speak_is_given_up(tmp_path: Path) -> None:
    async def run() -> None:
        governor = Governor()
        governor.answers = False
        door = Door(tmp_path, governor)
        taken = await door.report("a", *range(1, LIMIT_FRAMES + 10))
        assert taken.count(True) == LIMIT_FRAMES
        door.delivery.close("a")
        assert len(door.answered) == LIMIT_FRAMES
        assert max(door.answered) < 0
        assert door.delivery.rows == 0
        await door.kill()

    asyncio.run(run())
