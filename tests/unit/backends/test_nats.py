"""The bus against a real nats-server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count, pairwise

import pytest

from carcloud.backends.nats import Bus
from carcloud.errors import ConflictError, MissingError, TryLaterError
from tests.stream import Broker

_names = count(1)


@asynccontextmanager
async def connected(broker: Broker):
    bus = await Bus.connect(broker.url, "test")
    try:
        yield bus
    finally:
        await bus.close()


def with_stream(broker: Broker, work: Callable[[Bus, str], Awaitable[None]], limit_bytes: int = 1 << 24) -> None:
    """Run the work with a connected bus and a new stream of subjects `{name}.*`."""

    async def run() -> None:
        name = f"S{next(_names)}"
        async with connected(broker) as bus:
            await bus.ensure_stream(name, [f"{name}.*"], memory=True, limit_bytes=limit_bytes)
            await work(bus, name)

    asyncio.run(run())


def test_messages_are_read_by_sequence_in_batches(broker):
    async def work(bus: Bus, name: str) -> None:
        sequences = [await bus.append(f"{name}.{at % 2}", b"%d" % at) for at in range(20)]
        assert sequences == list(range(1, 21))
        even = await bus.read(name, f"{name}.0", 1, 100)
        assert [int(message.data) for message in even] == list(range(0, 20, 2))
        assert {message.subject for message in even} == {f"{name}.0"}
        assert [message.sequence for message in await bus.read(name, f"{name}.*", 5, 3)] == [5, 6, 7]
        assert [message.sequence for message in await bus.read(name, f"{name}.*", 0, 2)] == [1, 2]
        assert await bus.read(name, f"{name}.*", 21, 3) == []
        assert await bus.read(name, f"{name}.9", 1, 3) == []
        assert all(a.received_us <= b.received_us for a, b in pairwise(even))
        assert even[0].received_us > 1_700_000_000_000_000

    with_stream(broker, work)


def test_a_read_is_bounded_by_bytes_but_never_empty(broker):
    async def work(bus: Bus, name: str) -> None:
        for _ in range(5):
            await bus.append(f"{name}.0", bytes(1000))
        assert 1 <= len(await bus.read(name, f"{name}.0", 1, 100, 2500)) <= 3
        assert len(await bus.read(name, f"{name}.0", 1, 100, 10)) == 1

    with_stream(broker, work)


def test_the_last_message_of_a_subject_is_found_and_of_none_is_none(broker):
    async def work(bus: Bus, name: str) -> None:
        assert await bus.last(name, f"{name}.0") is None
        for data in (b"a", b"b"):
            await bus.append(f"{name}.0", data)
        await bus.append(f"{name}.1", b"c")
        last = await bus.last(name, f"{name}.0")
        assert (last.sequence, last.data, last.subject) == (2, b"b", f"{name}.0")

    with_stream(broker, work)


def test_a_writer_that_does_not_know_the_last_message_is_refused(broker):
    async def work(bus: Bus, name: str) -> None:
        first = await bus.append(f"{name}.0", b"mine", expected_last=0)
        await bus.append(f"{name}.0", b"another's", expected_last=first)
        for believed in (0, first, first + 9):
            with pytest.raises(ConflictError, match="written by another"):
                await bus.append(f"{name}.0", b"a zombie's", expected_last=believed)
        await bus.append(f"{name}.1", b"another subject", expected_last=0)
        assert [message.data for message in await bus.read(name, f"{name}.0", 1, 9)] == [b"mine", b"another's"]

    with_stream(broker, work)


def test_a_full_stream_refuses_and_keeps_what_it_has(broker):
    async def work(bus: Bus, name: str) -> None:
        await bus.append(f"{name}.0", bytes(1500))
        with pytest.raises(TryLaterError, match="not stored"):
            await bus.append(f"{name}.0", bytes(1500))
        await bus.ensure_stream(name, [f"{name}.*"], memory=True, limit_bytes=1 << 20)
        assert await bus.append(f"{name}.0", bytes(1500)) == 2

    with_stream(broker, work, limit_bytes=2000)


def test_a_purge_deletes_what_lies_below_and_nothing_of_other_subjects(broker):
    async def work(bus: Bus, name: str) -> None:
        for at in range(6):
            await bus.append(f"{name}.{at % 2}", b"x")
        await bus.purge(name, f"{name}.0", 5)
        assert [message.sequence for message in await bus.read(name, f"{name}.*", 1, 9)] == [2, 4, 5, 6]
        state = await bus.state(name)
        assert (state.first, state.last, state.messages) == (2, 6, 4)

    with_stream(broker, work)


@pytest.mark.parametrize("below", [0, 1])
def test_a_purge_below_the_first_sequence_deletes_nothing(broker, below):
    async def work(bus: Bus, name: str) -> None:
        await bus.append(f"{name}.0", b"x")
        await bus.purge(name, f"{name}.0", below)
        assert (await bus.state(name)).messages == 1

    with_stream(broker, work)


def test_a_message_that_is_removed_leaves_a_gap_and_the_one_before_it_is_the_last(broker):
    async def work(bus: Bus, name: str) -> None:
        for at in range(4):
            await bus.append(f"{name}.0", b"%d" % at)
        assert (await bus.state(name)).removed == 0
        for _ in range(2):  # the second time it is gone already
            await bus.remove(name, 2)
        assert (await bus.state(name)).removed == 1
        assert [message.sequence for message in await bus.read(name, f"{name}.0", 1, 9)] == [1, 3, 4]
        await bus.remove(name, 4)
        assert (await bus.last(name, f"{name}.0")).sequence == 3
        assert (await bus.state(name)).last == 4
        assert await bus.append(f"{name}.0", b"next", expected_last=3) == 5
        await bus.purge(name, f"{name}.0", 5)
        assert (await bus.state(name)).removed == 0
        with pytest.raises(TryLaterError, match="not removed"):
            await bus.remove("NONE", 1)

    with_stream(broker, work)


def test_a_missing_stream_is_later_not_never(broker):
    async def run() -> None:
        async with connected(broker) as bus:
            for question in (
                *(bus.last("NONE", "none.0"), bus.read("NONE", "none.0", 1, 5), bus.state("NONE")),
                *(bus.purge("NONE", "none.0", 5), bus.append("none.0", b"x")),
            ):
                with pytest.raises(TryLaterError):
                    await question

    asyncio.run(run())


def test_a_stream_of_another_storage_is_made_anew(broker):
    async def work(bus: Bus, name: str) -> None:
        await bus.append(f"{name}.0", b"x")
        before = await bus.state(name)
        await bus.ensure_stream(name, [f"{name}.*"], memory=False, limit_bytes=1 << 24)
        after = await bus.state(name)
        assert before.created != after.created
        assert after.messages == 0

    with_stream(broker, work)


def test_a_question_is_answered_and_one_that_nobody_answers_is_for_later(broker):
    async def run() -> None:
        async with connected(broker) as bus:

            async def reply(question: bytes) -> bytes:
                if question == b"gone":
                    raise MissingError("It is gone.")
                return question.upper()

            await bus.answer("ask.me", reply)
            assert await bus.request("ask.me", b"who") == b"WHO"
            for subject, question in (("ask.nobody", b""), ("ask.me", b"gone")):
                with pytest.raises(TryLaterError, match="Nobody answered"):
                    await bus.request(subject, question, timeout_s=0.2)

    asyncio.run(run())


def test_a_listener_hears_until_it_stops_and_its_fault_is_logged(broker, caplog):
    async def run() -> None:
        async with connected(broker) as bus:
            heard: list[tuple[str, bytes]] = []

            async def each(subject: str, data: bytes) -> None:
                if data == b"bad":
                    raise ValueError("a fault of the listener")
                heard.append((subject, data))

            stop = await bus.listen("news.*", each)
            for data in (b"1", b"bad", b"2"):
                await bus.publish("news.a", data)
            await bus.flush()
            async with asyncio.timeout(5):
                while len(heard) < 2:
                    await asyncio.sleep(0.01)
            await stop()
            await stop()
            await bus.publish("news.a", b"3")
            await bus.flush()
            assert heard == [("news.a", b"1"), ("news.a", b"2")]

    asyncio.run(run())
    assert "a message was not taken in" in caplog.text


@pytest.fixture
def own_broker(tmp_path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


def test_after_the_broker_was_killed_the_line_comes_back_with_a_new_epoch_and_what_was_flushed(own_broker):
    async def run() -> None:
        async with connected(own_broker) as bus:
            for name, memory in (("DISK", False), ("RAM", True)):
                await bus.ensure_stream(name, [f"{name}.*"], memory=memory, limit_bytes=1 << 20)
                await bus.append(f"{name}.0", b"x")
            created = (await bus.state("RAM")).created
            assert (bus.epoch, bus.connected) == (0, True)
            own_broker.kill()
            with pytest.raises(TryLaterError):
                await bus.state("DISK")
            await asyncio.to_thread(own_broker.start)
            async with asyncio.timeout(20):
                while not (bus.connected and bus.epoch):  # the client may hear of the death only after the start
                    await asyncio.sleep(0.02)
            assert bus.epoch == 1
            assert (await bus.last("DISK", "DISK.0")).data == b"x"
            await bus.ensure_stream("RAM", ["RAM.*"], memory=True, limit_bytes=1 << 20)
            state = await bus.state("RAM")
            assert (state.messages, state.created == created) == (0, False)

    asyncio.run(run())


def test_connecting_waits_for_a_broker_that_is_still_starting(own_broker):
    async def run() -> None:
        own_broker.kill()
        connecting = asyncio.create_task(Bus.connect(own_broker.url, "early"))
        await asyncio.sleep(0.15)
        assert not connecting.done()
        await asyncio.to_thread(own_broker.start)
        async with asyncio.timeout(10):
            await (await connecting).close()

    asyncio.run(run())
