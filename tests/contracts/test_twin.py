"""The twin's keeper and its reader over a real broker: exactly once, also over restarts; clear while it is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import TryLaterError
from carcloud.safety.grants.reach import Reach
from carcloud.safety.signer import Signer, Verifier
from carcloud.stream import subjects
from carcloud.stream.chunk import Chunk, encode
from carcloud.twin import keeper as rooms
from carcloud.twin.keeper import TwinKeeper
from carcloud.twin.reader import TwinReader
from carcloud.twin.search import Found, search
from carcloud.twin.state import TwinState
from carcloud.twin.values import Change, Last, Presence
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.conditions.text import parse
from tests.stream import CAR, NOW_US, OTHER, POLICY, Broker, Row, chunk, running_broker

SPEED, GEAR, NAME = "Vehicle.Speed", "Vehicle.Gear", "Vehicle.Name"
SEARCHED = Catalogue([Signal(SPEED, "float", "km/h"), Signal(NAME, "string")])


class Zone:
    """A broker with an empty GOVERNED, and a twin that can be kept again and again."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker = folder, broker
        self.records = Records.open(f"sqlite:///{folder / 'records.db'}")
        self.signer, self.signed = Signer(folder / "keys", folder / "run"), Verifier(folder / "keys", "receipt")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[TwinReader]:
        self.bus = await Bus.connect(self.broker.url, "test")
        within = [subjects.GOVERNED_SUBJECTS]
        await eventually(
            lambda: self.bus.ensure_stream(subjects.GOVERNED, within, memory=False, limit_bytes=1 << 26), TryLaterError
        )
        try:
            yield TwinReader(self.bus)
        finally:
            await self.bus.close()

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[TwinKeeper]:
        """Keep the twin on a line of its own, and end it without a word, as a crash does."""
        bus = await Bus.connect(self.broker.url, "twin")
        keeper = TwinKeeper(bus, self.records, self.folder, self.signed, lambda: POLICY)
        task = asyncio.create_task(keeper.run())
        try:
            yield keeper
        finally:
            while not task.done():  # Python 3.11 may lose a cancellation that meets an answer
                task.cancel()
                await asyncio.wait({task}, timeout=1)
            await bus.close()
            with contextlib.suppress(asyncio.CancelledError):
                task.result()

    async def say(self, number: int, *rows: Row) -> None:
        """Put a chunk into the stream and wake who follows it."""
        await self.put(self.chunk(number, *rows))

    def chunk(self, number: int, *rows: Row, signer: Signer | None = None) -> Chunk:
        return chunk(number, rows, NOW_US + number, signer or self.signer)

    async def put(self, made: Chunk) -> None:
        await self.bus.append(subjects.governed(0), encode(made))
        await self.bus.publish(f"{subjects.CHUNK}.0", str(made.record.number).encode())

    def position(self) -> int:
        return self.records.positions().get(("twin", 0), 0)

    def saved(self) -> TwinState:
        return TwinState.load(self.folder / "state-0.arrow")


def row(value: float | str, at: int = 0, vehicle: str = CAR, path: str = SPEED, provenance: int = 0) -> Row:
    return vehicle, path, NOW_US + at, value, provenance


async def until(question: Callable[[], object]) -> None:
    async with asyncio.timeout(40):
        while not question():
            await asyncio.sleep(0.02)


async def eventually(call: Callable[[], Awaitable[Any]], failure: type[Exception]) -> Any:
    """Call until it no longer fails in this way; return what it answers."""
    async with asyncio.timeout(40):
        while True:
            try:
                return await call()
            except failure:
                await asyncio.sleep(0.05)


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    with running_broker(tmp_path) as broker:
        made = Zone(tmp_path, broker)
        yield made
        made.records.close()


@pytest.fixture
def saves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "SAVE_EVERY_S", 0.05)


def test_the_twin_says_what_the_stream_said(zone):
    async def run() -> None:
        async with zone.open() as reader, zone.kept() as keeper:
            await zone.say(1, row(1.0), row("Anna", path=NAME), row(3.0, vehicle=OTHER, path=GEAR, provenance=2))
            await zone.say(2)
            await zone.say(3, row(2.0, 1))
            await until(lambda: keeper.metrics()["chunk"] == 3)
            assert await reader.get(CAR, None) == {
                SPEED: Last(2.0, NOW_US + 1, "measured"),
                NAME: Last("Anna", NOW_US, "measured"),
            }
            assert list(await reader.get(CAR, [NAME, "Vehicle.None"])) == [NAME]
            assert await reader.get("nobody", None) == {}
            assert await reader.fleet("default", [GEAR, SPEED], 10) == {
                CAR: [None, Last(2.0, NOW_US + 1, "measured")],
                OTHER: [Last(3.0, NOW_US, "simulated"), None],
            }
            assert list(await reader.fleet("default", [SPEED], 10)) == [CAR]
            assert len(await reader.fleet("default", [GEAR, SPEED], 1)) == 1
            assert await reader.presence([CAR, OTHER, "nobody"]) == {
                CAR: Presence(NOW_US + 3, 2, "measured", -2e-06),
                OTHER: Presence(NOW_US + 1, 1, "simulated", -1e-06),
            }
            told = keeper.metrics()
            assert (told["twin"]["seen"], told["alarms"]) == (2, [])

    asyncio.run(run())


def test_state_and_position_are_saved_together(zone, saves_at_once):
    async def run() -> None:
        async with zone.open(), zone.kept():
            for number in range(1, 4):
                await zone.say(number, row(float(number), number))
                await until(lambda number=number: zone.position() == number)
                assert zone.saved().chunk >= number  # the stream is purged to the position: never beyond the state
                assert zone.saved().values(CAR)[SPEED].value >= number

    asyncio.run(run())


def test_a_new_keeper_goes_on_where_the_state_stands_and_repeats_nothing(zone, saves_at_once, monkeypatch):
    async def run() -> None:
        async with zone.open() as reader:
            async with zone.kept():
                await zone.say(1, row(1.0, 1))
                await until(lambda: zone.position() == 1)
                monkeypatch.setattr(rooms, "SAVE_EVERY_S", 3600.0)
                await asyncio.sleep(0.2)
            await zone.say(2, row(2.0, 2), row(2.0, vehicle=OTHER))
            folded: list[int] = []
            fold = TwinState._fold

            def counted(state: TwinState, rows: Any, received_us: int) -> Any:
                folded.append(received_us - NOW_US)
                return fold(state, rows, received_us)

            monkeypatch.setattr(TwinState, "_fold", counted)
            async with zone.kept() as keeper:
                await zone.say(3, row(3.0, 3))
                await until(lambda: keeper.metrics()["chunk"] == 3)
                assert await reader.get(CAR, None) == {SPEED: Last(3.0, NOW_US + 3, "measured")}
                assert await reader.get(OTHER, None) == {SPEED: Last(2.0, NOW_US, "measured")}
            assert folded == [2, 3]

    asyncio.run(run())


def test_what_was_not_saved_is_folded_again_to_the_same_state(zone):
    async def run() -> None:
        async with zone.open() as reader:
            seen = []
            for _ in range(2):
                async with zone.kept() as keeper:
                    if not seen:
                        for number in range(1, 6):
                            await zone.say(number, row(float(number), number % 3), row("x" * number, path=NAME))
                    await until(lambda keeper=keeper: keeper.metrics()["chunk"] == 5)
                    seen.append((await reader.get(CAR, None), await reader.presence([CAR])))
            assert zone.position() == 0
            assert seen[0] == seen[1]
            assert seen[0][0][SPEED] == Last(5.0, NOW_US + 2, "measured")

    asyncio.run(run())


def test_an_older_time_stamp_never_overwrites_a_newer_one_after_a_restart(zone, saves_at_once):
    async def run() -> None:
        async with zone.open() as reader:
            async with zone.kept():
                await zone.say(1, row(1.0, 100), row("new", 100, path=NAME))
                await until(lambda: zone.position() == 1)
            async with zone.kept() as keeper:
                await zone.say(2, row(2.0, 99), row("old", 99, path=NAME))
                await until(lambda: keeper.metrics()["chunk"] == 2)
                assert await reader.get(CAR, None) == {
                    SPEED: Last(1.0, NOW_US + 100, "measured"),
                    NAME: Last("new", NOW_US + 100, "measured"),
                }
                await zone.say(3, row(3.0, 100))
                await until(lambda: keeper.metrics()["chunk"] == 3)
                assert (await reader.get(CAR, [SPEED]))[SPEED].value == 3.0

    asyncio.run(run())


def test_a_broker_that_restarts_costs_no_chunk_and_doubles_none(zone):
    async def run() -> None:
        async with zone.open() as reader, zone.kept() as keeper:
            await zone.say(1, row(1.0, 1))
            await until(lambda: keeper.metrics()["chunk"] == 1)
            await asyncio.to_thread(zone.broker.kill)
            await asyncio.to_thread(zone.broker.start)
            made = zone.chunk(2, row(2.0, 2))
            await eventually(lambda: zone.put(made), TryLaterError)
            await until(lambda: keeper.metrics()["chunk"] == 2)
            found = await eventually(lambda: reader.get(CAR, None), TryLaterError)
            assert found == {SPEED: Last(2.0, NOW_US + 2, "measured")}
            assert keeper.metrics()["alarms"] == []

    asyncio.run(run())


def test_chunks_that_are_gone_are_said_and_the_twin_goes_on_with_what_there_is(zone):
    async def run() -> None:
        async with zone.open() as reader, zone.kept() as keeper:
            await zone.say(7, row(7.0, 7))
            await until(lambda: keeper.metrics()["chunk"] == 7)
            (alarm,) = keeper.metrics()["alarms"]
            assert (alarm["code"], "Chunk 1 is gone" in alarm["message"]) == ("twin_gap", True)
            assert alarm["do"]
            assert (await reader.get(CAR, None))[SPEED].value == 7.0

    asyncio.run(run())


def test_a_forged_chunk_is_not_folded_and_the_twin_waits_until_it_is_gone(zone):
    async def run() -> None:
        forger = Signer(zone.folder / "forger", zone.folder / "forger")
        async with zone.open() as reader, zone.kept() as keeper:
            await zone.say(1, row(1.0))
            await zone.put(zone.chunk(2, row(199.0, 1), signer=forger))
            await until(lambda: keeper.metrics()["alarms"])
            (alarm,) = keeper.metrics()["alarms"]
            assert (alarm["code"], "not signed" in alarm["message"]) == ("forged_chunk", True)
            await zone.bus.remove(subjects.GOVERNED, 2)
            await zone.say(2, row(2.0, 2))
            await zone.say(3, row(3.0, 3))
            await until(lambda: keeper.metrics()["chunk"] == 3)
            assert (await reader.get(CAR, None))[SPEED].value == 3.0
            assert keeper.metrics()["alarms"] == []
            assert keeper.metrics()["delay"]["p50"] is not None

    asyncio.run(run())


def test_a_new_twin_finds_its_place_behind_a_chunk_that_was_removed(zone):
    async def run() -> None:
        async with zone.open():
            for number in (1, 2, 2, 3, 4):
                await zone.say(number, row(float(number), number))
            await zone.bus.remove(subjects.GOVERNED, 3)
            async with zone.kept() as keeper:
                await until(lambda: keeper.metrics()["chunk"] == 4)
                assert keeper.metrics()["alarms"] == []

    asyncio.run(run())


def test_while_the_keeper_is_away_a_question_is_an_error_that_says_so(zone):
    async def run() -> None:
        async with zone.open() as reader:
            async with zone.kept() as keeper:
                await zone.say(1, row(1.0))
                await until(lambda: keeper.metrics()["chunk"] == 1)
            for ask in (
                lambda: reader.get(CAR, None),
                lambda: reader.fleet("default", [SPEED], 1),
                lambda: reader.presence([CAR]),
            ):
                with pytest.raises(TryLaterError, match="Nobody answered twin"):
                    await ask()
            async with zone.kept() as keeper:
                await until(lambda: keeper.metrics()["chunk"] == 1)
                assert (await reader.get(CAR, None))[SPEED].value == 1.0

    asyncio.run(run())


class Watch:
    """Somebody who watches the twin. `heard`: path → newest value, by car."""

    def __init__(self, reader: TwinReader, vehicles: list[str] | None = None, paths: list[str] | None = None) -> None:
        self.heard: dict[str, dict[str, Any]] = {}
        self._changes = reader.watch("default", vehicles, paths)

    @contextlib.asynccontextmanager
    async def open(self, keeper: TwinKeeper) -> AsyncIterator[None]:
        before = len(keeper._watches)
        task = asyncio.create_task(self._follow())
        await until(lambda: len(keeper._watches) > before)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._changes.aclose()

    async def _follow(self) -> None:
        async for change in self._changes:
            assert isinstance(change, Change)
            self.heard.setdefault(change.vehicle, {}).update(
                {path: last.value for path, last in change.signals.items()}
            )


def test_changes_reach_those_who_watch_and_nobody_hears_of_what_they_did_not_ask_for(zone):
    async def run() -> None:
        async with zone.open() as reader, zone.kept() as keeper:
            await zone.say(1, row(1.0))
            await until(lambda: keeper.metrics()["chunk"] == 1)
            everything, one = Watch(reader), Watch(reader, [OTHER], [SPEED])
            async with everything.open(keeper), one.open(keeper):
                await zone.say(2, row(2.0, 1), row("Anna", path=NAME), row(5.0, vehicle=OTHER))
                await zone.say(3, row(4.0, 1, OTHER, GEAR), row(0.5, -1))  # the older speed is no change
                await until(lambda: GEAR in everything.heard.get(OTHER, {}))
                await until(lambda: one.heard)
            assert everything.heard == {CAR: {SPEED: 2.0, NAME: "Anna"}, OTHER: {SPEED: 5.0, GEAR: 4.0}}
            assert one.heard == {OTHER: {SPEED: 5.0}}

    asyncio.run(run())


def test_who_watches_hears_on_after_the_keeper_was_restarted(zone, monkeypatch):
    monkeypatch.setattr("carcloud.twin.reader.RENEW_EVERY_S", 0.05)

    async def run() -> None:
        async with zone.open() as reader:
            async with zone.kept() as keeper:
                watch = Watch(reader)
                opened = watch.open(keeper)
                await opened.__aenter__()
                await zone.say(1, row(1.0))
                await until(lambda: watch.heard)
            async with zone.kept() as again:
                await until(lambda: again._watches)
                await zone.say(2, row(2.0, 1))
                await until(lambda: watch.heard[CAR][SPEED] == 2.0)
            await opened.__aexit__(None, None, None)

    asyncio.run(run())


def test_who_no_longer_renews_a_watch_is_forgotten(zone, monkeypatch):
    monkeypatch.setattr(rooms, "LEASE_S", 0.2)

    async def run() -> None:
        async with zone.open() as reader, zone.kept() as keeper:
            async with Watch(reader).open(keeper):
                pass
            await until(lambda: not keeper._watches)

    asyncio.run(run())


def test_one_watch_too_many_is_refused_in_words(zone, monkeypatch):
    monkeypatch.setattr(rooms, "LIMIT_WATCHES", 1)

    async def run() -> None:
        async with zone.open() as reader, zone.kept() as keeper, Watch(reader).open(keeper):
            with pytest.raises(TryLaterError, match="More than 1 watches"):
                await reader._ask(subjects.TWIN_WATCH, {"name": "second", "vehicles": None, "paths": None})
            assert len(keeper._watches) == 1

    asyncio.run(run())


def test_a_forged_chunk_with_others_behind_it_is_not_folded_either(zone):
    async def run() -> None:
        forger = Signer(zone.folder / "forger", zone.folder / "forger")
        async with zone.open():
            await zone.say(1, row(1.0))
            await zone.put(zone.chunk(2, row(199.0, 1), signer=forger))
            await zone.say(3, row(3.0, 3))
            async with zone.kept() as keeper:
                await until(lambda: keeper.metrics()["alarms"])
                assert [alarm["code"] for alarm in keeper.metrics()["alarms"]] == ["forged_chunk"]
                assert keeper.metrics()["chunk"] == 1

    asyncio.run(run())


def test_a_search_asks_every_car_also_in_several_answers(zone, monkeypatch):
    monkeypatch.setattr(rooms, "CELLS_AN_ANSWER", 1)
    fast = parse(f'{SPEED} > 2 km/h or {NAME} = "Anna" stale after 1 min', SEARCHED)

    async def run() -> None:
        async with zone.open() as reader, zone.kept() as keeper:
            await zone.say(1, row(1.0), row("Anna", path=NAME), row(3.0, vehicle=OTHER), row(2.0, vehicle="third"))
            await until(lambda: keeper.metrics()["chunk"] == 1)
            assert len([rows async for rows in reader.columns("default", [SPEED])]) == 3
            assert await search(reader, fast, Reach("default"), NOW_US) == Found((CAR, OTHER), 1)
            assert await search(reader, fast, Reach("default"), NOW_US + 60_000_000) == Found((), 3)
            assert await search(reader, fast, Reach("another"), NOW_US) == Found((), 0)

    asyncio.run(run())
