"""The audit log's process on a real broker: receipts in order, gaps said, forged chunks not taken in."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.backends.nats import Bus
from carcloud.backends.records import Entry, Records
from carcloud.backends.records.audit import FOLD
from carcloud.errors import TryLaterError
from carcloud.safety.audit.leaf import read_leaf, statement_hash
from carcloud.safety.audit.log import AuditLog
from carcloud.safety.audit.note import LOG, Key
from carcloud.safety.audit.tiles import Tiles
from carcloud.safety.signer import Signer, Verifier
from carcloud.stream import audit as rooms
from carcloud.stream import subjects
from carcloud.stream.audit import AuditKeeper
from carcloud.stream.chunk import Chunk, encode
from tests.stream import CAR, NOW_US, Broker, chunk, running_broker

SECRET = Ed25519PrivateKey.generate()
KEY = Key("carcloud/local", LOG, SECRET.public_key().public_bytes_raw())


class Place:
    """A log, its records, and the key that receipts are signed with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "audit"
        self.folder.mkdir()
        self.records = Records.open(f"sqlite:///{folder / 'records.db'}")
        self.signer, self.signed = Signer(folder / "keys", folder / "run"), Verifier(folder / "keys", "receipt")
        self.sign: Any = SECRET.sign
        self.log = AuditLog(self.folder, self.records, lambda text: self.sign(text), KEY, lambda *_: ())

    def chunk(self, number: int) -> Chunk:
        return chunk(number, [(CAR, "A.b", NOW_US + number, 1.0, 0)], signer=self.signer)

    def leaves(self) -> list[dict[str, Any]]:
        size = self.log.checkpoint.size
        return [read_leaf(Tiles(self.folder).entry(number, size)) for number in range(size)]

    def said(self) -> list[str]:
        return [leaf["object"] if "chunk" in leaf["from"] else leaf["action"] for leaf in self.leaves()]

    @contextlib.asynccontextmanager
    async def keeper(self, bus: Bus):
        made = AuditKeeper(bus, self.records, self.log, list, self.signed, "default")
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=1)
            with contextlib.suppress(asyncio.CancelledError):
                task.result()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(rooms, "RHYTHM_S", 0.05)
    monkeypatch.setattr(rooms, "ALARM_STAYS_S", 0.5)
    place = Place(tmp_path)
    yield place
    place.records.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@contextlib.asynccontextmanager
async def governed(broker: Broker):
    """Give a bus on a new, empty GOVERNED."""
    bus = await Bus.connect(broker.url, "test")
    for memory in (True, False):  # the change of storage makes it anew
        async with asyncio.timeout(40):
            while True:
                with contextlib.suppress(TryLaterError):  # the broker is busy
                    within = [subjects.GOVERNED_SUBJECTS]
                    await bus.ensure_stream(subjects.GOVERNED, within, memory=memory, limit_bytes=1 << 26)
                    break
                await asyncio.sleep(0.1)
    try:
        yield bus
    finally:
        await bus.close()


async def published(bus: Bus, *chunks: Chunk) -> None:
    for made in chunks:
        await bus.append(subjects.governed(0), encode(made))
        await bus.publish(f"{subjects.CHUNK}.0", str(made.record.number).encode())


async def until(question: Any) -> None:
    async with asyncio.timeout(40):
        while not question():
            await asyncio.sleep(0.02)


def test_receipts_and_acts_come_into_the_log_once_over_restarts(place: Place, broker: Broker):
    async def run() -> None:
        async with governed(broker) as bus:
            await published(bus, place.chunk(1), place.chunk(2))
            async with place.keeper(bus):
                await until(lambda: place.log.checkpoint.size == 3)
                place.records.audit.add(Entry("machine", "revokeVehicle", "vehicle:a"))
                await until(lambda: place.log.checkpoint.size == 4)
            await published(bus, place.chunk(3))
            async with place.keeper(bus) as again:
                await until(lambda: place.log.checkpoint.size == 5)
                await until(lambda: again.metrics() == {"audit": {"leaves": 5, "waiting": 0}, "alarms": []})

    asyncio.run(run())
    assert place.said() == ["beginLog", "chunk:1", "chunk:2", "revokeVehicle", "chunk:3"]
    assert place.records.positions()[FOLD, 0] == 3
    receipt = place.chunk(2).record.receipt
    assert place.leaves()[2]["facts"]["receipt"] == statement_hash(receipt["statement"])
    assert place.leaves()[2]["facts"]["key"] == receipt["key"]


def test_chunks_that_are_gone_are_said_in_the_log_itself(place: Place, broker: Broker):
    async def run() -> None:
        async with governed(broker) as bus:
            await published(bus, *(place.chunk(number) for number in range(1, 4)))
            async with place.keeper(bus):
                await until(lambda: place.log.checkpoint.size == 4)
            await published(bus, *(place.chunk(number) for number in range(4, 8)))
            await bus.purge(subjects.GOVERNED, subjects.governed(0), 6)
            async with place.keeper(bus):
                await until(lambda: place.log.checkpoint.size == 7)

    asyncio.run(run())
    assert place.said() == ["beginLog", "chunk:1", "chunk:2", "chunk:3", "missChunks", "chunk:6", "chunk:7"]
    assert place.leaves()[4]["facts"] == {"first": 4, "last": 5}
    assert place.records.positions()[FOLD, 0] == 7


def test_forged_chunk_is_not_taken_in_and_acts_go_on(place: Place, broker: Broker):
    async def run() -> None:
        async with governed(broker) as bus:
            await published(bus, place.chunk(1))
            async with place.keeper(bus) as keeper:
                await until(lambda: place.log.checkpoint.size == 2)
                await published(bus, chunk(2))
                await until(lambda: keeper.metrics()["alarms"])
                assert keeper.metrics()["alarms"][0]["code"] == "forged_chunk"
                place.records.audit.add(Entry("machine", "revokeVehicle", "vehicle:a"))
                await until(lambda: place.log.checkpoint.size == 3)

    asyncio.run(run())
    assert place.said() == ["beginLog", "chunk:1", "revokeVehicle"]


def test_signer_that_is_away_is_said_and_nothing_is_lost(place: Place, broker: Broker):
    def away(_: bytes) -> bytes:
        raise TryLaterError("The signer is away.", "Wait.")

    async def run() -> None:
        async with governed(broker) as bus:
            await published(bus, place.chunk(1))
            place.sign = away
            async with place.keeper(bus) as keeper:
                await until(lambda: keeper.metrics()["alarms"])
                assert keeper.metrics()["alarms"][0]["code"] == "audit_stopped"
                place.records.audit.add(Entry("machine", "revokeVehicle", "vehicle:a"))
                place.sign = SECRET.sign
                await until(lambda: place.log.checkpoint.size == 3)
                await until(lambda: not keeper.metrics()["alarms"])

    asyncio.run(run())
    assert sorted(place.said()) == ["beginLog", "chunk:1", "revokeVehicle"]
