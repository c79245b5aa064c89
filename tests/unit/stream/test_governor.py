"""The governor between a real broker's RAW and GOVERNED: exactly once, answered once, also after a restart."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from carcloud.backends.nats import Bus
from carcloud.backends.records import Records, Vehicle
from carcloud.errors import InputError
from carcloud.safety.governance.policy import parse
from carcloud.safety.governance.table import Table
from carcloud.safety.grants.grant import ground_of
from carcloud.safety.seal import Seals
from carcloud.safety.signer import Signer, SignerClient, Verifier, load_public_key, verify
from carcloud.stream import governor as rooms
from carcloud.stream import subjects
from carcloud.stream.chunk import Chunk, decode, encode
from carcloud.stream.digest_keys import StoredKeys
from carcloud.stream.governor import Governor
from carcloud.stream.quarantine import Quarantine
from carcloud.stream.receipts import root, statement
from carcloud.stream.settings import GovernorSettings
from tests.granted import consent
from tests.stream import CAR, CATALOGUE, OTHER, TERMS, Broker, batch, hello, running_broker, up


class Zone:
    """A broker, records and keys; its governor can be run again and again."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker = folder, broker
        self.records = Records.open(f"sqlite:///{folder}/records.db")
        for vehicle in (CAR, OTHER):
            vin = f"VIN{vehicle[:14].upper()}"
            self.records.add_vehicle(Vehicle(vehicle, "default", vin, None, "active", datetime.now(UTC)))
        self.acks: list[dict] = []

    @contextlib.asynccontextmanager
    async def open(self):
        self.bus = await Bus.connect(self.broker.url, "test")
        self.signer = Signer(self.folder / "keys", self.folder / "run")
        await self.signer.open()
        await self.bus.listen(subjects.ack("default", "*"), self._heard)
        try:
            yield self
        finally:
            await self.signer.close()
            await self.bus.close()

    async def _heard(self, subject: str, data: bytes) -> None:
        self.acks.append({"vehicle": subject.split(".")[3], **orjson.loads(data)})

    @contextlib.asynccontextmanager
    async def governed(self, table: Table = TERMS.table):
        quarantine = Quarantine(self.records, Seals(self.folder / "keys", "default"))
        client = SignerClient(self.folder / "run")
        settings = GovernorSettings(rhythm_s=0.05, reserve_bytes=0, raw_bytes=1 << 24, governed_bytes=1 << 24)
        signed = Verifier(self.folder / "keys", "receipt")
        given = (self.bus, self.bus, self.records, CATALOGUE, table, client, signed, quarantine)
        part = Governor(*given, self.folder, settings, "test")
        running = self.running = asyncio.create_task(part.run())
        try:
            yield part
        finally:
            while not running.done():  # Python 3.11 may lose a cancellation that meets an answer
                running.cancel()
                await asyncio.wait({running}, timeout=1)
            client.close()
            with contextlib.suppress(asyncio.CancelledError):
                running.result()

    async def sent(self, subject: str, payload: bytes) -> None:
        async with asyncio.timeout(40):
            while True:
                with contextlib.suppress(Exception):
                    await self.bus.append(subject, payload)
                    return
                await asyncio.sleep(0.02)

    async def acked(self, number: int) -> dict:
        async with asyncio.timeout(40):
            while not (found := [ack for ack in self.acks if ack.get("number", 0) >= number]):
                await asyncio.sleep(0.01)
        return found[-1]

    async def chunks(self) -> list[Chunk]:
        messages = await self.bus.read(subjects.GOVERNED, subjects.governed(0), 1, 1000)
        return [decode(message.data) for message in messages]


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    with running_broker(tmp_path) as broker:
        made = Zone(tmp_path, broker)
        yield made
        made.records.close()


def rows(now_us: int, *values: float) -> list[tuple[str, int, float]]:
    return [("Vehicle.Speed", now_us + at, value) for at, value in enumerate(values)]


NOW_US = int(datetime.now(UTC).timestamp() * 1_000_000)


def test_batches_become_signed_chunks_and_are_answered_once_with_what_was_lost(zone):
    async def run() -> None:
        async with zone.open(), zone.governed():
            await zone.sent(up(kind="event"), hello(1))
            for queue in (1, 2):
                await zone.sent(up(), batch(rows(NOW_US, 1.0, 999.0), queue, 1))
            await zone.acked(1)
            await asyncio.sleep(0.2)
            chunks = await zone.chunks()
        assert sum(chunk.rows.num_rows for chunk in chunks) == 2
        lost = [ack["refused"]["out_of_range"] for ack in zone.acks if "refused" in ack]
        assert sum(lost) == 2
        key = load_public_key(zone.folder / "keys" / "receipt.pub")
        for made in chunks:
            fields = made.record.receipt["statement"]
            assert (
                fields["root"]
                == root(made.rows, made.record.tenants, made.record.number, StoredKeys(zone.records)).hex()
            )
            assert verify(key, "receipt", statement(fields), bytes.fromhex(made.record.receipt["signature"]))
        assert len(zone.records.quarantine_entries(10)) == 2

    asyncio.run(run())


ASKING = parse(
    """
name: asking
purposes:
  know: {basis: consent, why: Knowing.}
rules:
  - {paths: ["**"], class: personal, purposes: [know]}
""",
    "asking",
)


TIMED = parse(
    """
name: timed
purposes: {run: {basis: contract, why: So that there is something lawful.}}
rules:
  - {paths: ["**"], class: personal, purposes: [run], days: 3}
""",
    "timed",
)


def test_where_rows_expire_a_day_begins_with_a_new_block_of_the_brokers_file(zone):
    async def run() -> None:
        async with zone.open(), zone.governed(Table(TIMED, CATALOGUE)):
            await zone.sent(up(kind="event"), hello(1))
            await zone.sent(up(), batch(rows(NOW_US, 1.0), 1, 1))
            await zone.acked(1)
            messages = await zone.bus.read(subjects.GOVERNED, subjects.governed(0), 1, 1000)
        assert len(messages[0].data) >= rooms.BLOCK_BYTES > len(messages[-1].data)

    asyncio.run(run())


def test_a_consent_withdrawn_in_mid_stream_drops_what_comes_after_it(zone):
    async def run() -> None:
        ground = ground_of("test", ASKING, CATALOGUE)
        async with zone.open(), zone.governed(Table(ASKING, CATALOGUE)):
            await zone.sent(up(kind="event"), hello(1))
            for number, agreed in enumerate((None, True, False, True), 1):
                if agreed is not None:
                    consent(zone.records, ground, CAR, "know", agreed=agreed)
                    await zone.bus.publish(subjects.GRANT, CAR.encode())
                    await zone.bus.flush()
                    await asyncio.sleep(0.5)
                await zone.sent(up(), batch(rows(NOW_US + number, number), 1, number))
                await zone.acked(number)
            chunks = await zone.chunks()
        kept = [value for chunk in chunks for value in chunk.rows["value"].to_pylist()]
        assert kept == [2.0, 4.0]
        assert sum(chunk.record.refused.get("no_consent", 0) for chunk in chunks) == 2
        assert {chunk.record.receipt["statement"]["policy"] for chunk in chunks} == {ASKING.hash}
        assert zone.records.quarantine_entries(10) == []

    asyncio.run(run())


def test_a_consent_whose_notice_was_lost_counts_when_the_governor_starts(zone):
    async def run() -> None:
        consent(zone.records, ground_of("test", ASKING, CATALOGUE), CAR, "know")
        async with zone.open(), zone.governed(Table(ASKING, CATALOGUE)):
            await zone.sent(up(kind="event"), hello(1))
            await zone.sent(up(), batch(rows(NOW_US, 7.0), 1, 1))
            await zone.acked(1)
            chunks = await zone.chunks()
        assert [value for chunk in chunks for value in chunk.rows["value"].to_pylist()] == [7.0]

    asyncio.run(run())


def test_a_new_governor_goes_on_where_the_last_one_stopped(zone, monkeypatch):
    monkeypatch.setattr(rooms, "PURGE_EVERY_S", 0.0)
    monkeypatch.setattr(rooms, "SNAPSHOT_EVERY_S", 0.0)

    async def run() -> None:
        async with zone.open():
            async with zone.governed():
                await zone.sent(up(kind="event"), hello(1))
                for number in (1, 2, 4):
                    await zone.sent(up(), batch(rows(NOW_US + number, 1.0), 1, number))
                await zone.acked(2)
            for number in (1, 2, 3, 4, 4):
                await zone.sent(up(), batch(rows(NOW_US + number, 1.0), 1, number))
            async with zone.governed() as part:
                await zone.acked(4)
                totals = part.metrics()["stream"]
            chunks = await zone.chunks()
            assert [made.record.number for made in chunks] == list(
                range(chunks[0].record.number, chunks[-1].record.number + 1)
            )
            assert totals["samples_kept"] == 4
            assert totals["batches"] == 4

    asyncio.run(run())


def test_without_its_snapshot_a_governor_does_not_guess_the_marks(zone, monkeypatch):
    monkeypatch.setattr(rooms, "PURGE_EVERY_S", 0.0)
    monkeypatch.setattr(rooms, "SNAPSHOT_EVERY_S", 0.0)
    for fold in ("lake", "twin", "audit"):
        zone.records.set_position(fold, 0, 1000)

    async def run() -> None:
        async with zone.open():
            async with zone.governed():
                await zone.sent(up(kind="event"), hello(1))
                for number in range(1, 4):
                    await zone.sent(up(), batch(rows(NOW_US + number, 1.0), 1, number))
                    await zone.acked(number)
                async with asyncio.timeout(40):
                    while (await zone.chunks())[0].record.number == 1:
                        await asyncio.sleep(0.05)
            (zone.folder / "marks-0.json").unlink()
            async with zone.governed():
                await asyncio.wait({zone.running}, timeout=30)

    with pytest.raises(InputError, match="marks stand at chunk 0"):  # the process ends, and says so in its log
        asyncio.run(run())


def unsigned(true: Chunk) -> bytes:
    record = replace(true.record, number=true.record.number + 1, marks=[(CAR, f"{1:016x}", 1000)], receipt={})
    return encode(Chunk(record, true.rows))


@pytest.mark.parametrize("forgery", [unsigned, encode, lambda _: b"no chunk"], ids=["unsigned", "repeated", "no chunk"])
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("snapshot", [False, True])
def test_what_another_wrote_is_taken_out_kept_and_said(zone, monkeypatch, forgery, restarted, snapshot):
    monkeypatch.setattr(rooms, "PURGE_EVERY_S", 0.1)
    monkeypatch.setattr(rooms, "SNAPSHOT_EVERY_S", 0.0 if snapshot else 3600.0)
    kept = zone.folder / "forged"

    async def forge() -> None:
        last = await zone.bus.last(subjects.GOVERNED, subjects.governed(0))
        await zone.bus.append(subjects.governed(0), forgery(decode(last.data)))

    async def eventually(question) -> None:
        async with asyncio.timeout(40):
            while not question():
                await asyncio.sleep(0.02)

    async def run() -> None:
        async with zone.open():
            async with zone.governed() as part:
                await zone.sent(up(kind="event"), hello(1))
                for number in (1, 2):
                    await zone.sent(up(), batch(rows(NOW_US + number, 1.0), 1, number))
                    await zone.acked(number)
                await eventually(lambda: not snapshot or (zone.folder / "marks-0.json").exists())
                if not restarted:
                    await forge()
                    await eventually(lambda: part.metrics()["alarms"])
            if restarted:
                await forge()
            async with zone.governed() as part:
                await eventually(lambda: part.metrics()["alarms"])
                (alarm,) = part.metrics()["alarms"]
                assert (alarm["code"], str(kept) in alarm["message"]) == ("forged_chunk", True)
                await zone.sent(up(), batch(rows(NOW_US + 3, 1.0), 1, 3))
                await zone.acked(3)
                assert part.metrics()["stream"]["samples_kept"] == 3
                (file,) = kept.iterdir()
                file.unlink()
                await eventually(lambda: not part.metrics()["alarms"])
            chunks = await zone.chunks()
        numbers = [made.record.number for made in chunks]
        assert numbers == list(range(1, len(numbers) + 1))
        assert sum(made.rows.num_rows for made in chunks) == 3

    asyncio.run(run())


def test_purging_stays_behind_the_folds_where_a_message_was_taken_out(zone, monkeypatch):
    monkeypatch.setattr(rooms, "PURGE_EVERY_S", 0.1)
    monkeypatch.setattr(rooms, "SNAPSHOT_EVERY_S", 0.0)

    async def run() -> None:
        async with zone.open(), zone.governed() as part:
            await zone.sent(up(kind="event"), hello(1))
            await zone.sent(up(), batch(rows(NOW_US, 1.0), 1, 1))
            await zone.acked(1)
            await zone.bus.append(subjects.governed(0), b"no chunk")
            async with asyncio.timeout(40):
                while not part.metrics()["alarms"]:
                    await asyncio.sleep(0.02)
            for number in (2, 3, 4):
                await zone.sent(up(), batch(rows(NOW_US + number, 1.0), 1, number))
                await zone.acked(number)
            taken = (await zone.chunks())[0].record.number
            for fold in ("lake", "twin", "audit"):
                zone.records.set_position(fold, 0, taken)
            await asyncio.sleep(1.0)
            chunks = await zone.chunks()
        assert chunks[0].record.number <= taken + 1
        assert sum(made.rows.num_rows for made in chunks if made.record.number > taken) >= 3

    asyncio.run(run())
