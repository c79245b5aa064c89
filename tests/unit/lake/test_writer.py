"""The lake writer on real files and a real broker: exactly once, in the right day, provable."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import deltalake
import orjson
import pyarrow.parquet as pq
import pytest

from carcloud.backends import delta
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import ConflictError, MissingError, TryLaterError
from carcloud.lake import writer as rooms
from carcloud.lake.settings import LakeSettings
from carcloud.lake.verify import Verdict, verify_lake
from carcloud.lake.writer import LakeWriter
from carcloud.safety.signer import Signature, Signer, Verifier
from carcloud.stream import subjects
from carcloud.stream.chunk import Chunk, encode
from carcloud.stream.digest_keys import StoredKeys
from tests.stream import CAR, DAY_US, NOW_US, OTHER, POLICY, Broker, chunk, receipt, running_broker

QUICK = LakeSettings(rhythm_s=0.05)


def unasked(_: bytes) -> Signature:
    raise AssertionError("nothing is erased here")


class Lake:
    """A lake's folder, its records, and the key its receipts are signed with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "lake"
        self.folder.mkdir()
        self.records = Records.open(f"sqlite:///{folder / 'records.db'}")
        self.signer = Signer(folder / "keys", folder / "run")
        self._signed = Verifier(folder / "keys", "receipt")

    def writer(self, cloud: Bus | None = None, settings: LakeSettings = QUICK) -> LakeWriter:
        signed, keep = self._signed, lambda: POLICY
        return LakeWriter(cloud or Bus(), self.records, self.folder, settings, signed, unasked, signed, keep, 0.0)

    def chunk(self, number: int, days: tuple[int, ...] = (0,), empty: bool = False) -> Chunk:
        rows = [
            (car, path, NOW_US + day * DAY_US + number * 100 + at, "on" if path == "B.a" else float(at), 0)
            for day in days
            for car in (CAR, OTHER)
            for path in ("A.b", "B.a")
            for at in range(3)
        ]
        return chunk(number, [] if empty else rows, signer=self.signer, records=self.records)

    def rows(self) -> list[dict]:
        return deltalake.DeltaTable(self.folder / "samples").to_pyarrow_table().to_pylist()

    def stored(self) -> dict[int, int]:
        """Return how many rows each chunk has in the lake."""
        found: dict[int, int] = {}
        for row in self.rows():
            found[row["chunk"]] = found.get(row["chunk"], 0) + 1
        return found

    def files(self) -> list[Path]:
        return sorted(
            self.folder / "samples" / name
            for name in deltalake.DeltaTable(self.folder / "samples").get_add_actions()["path"].to_pylist()
        )

    def verdict(self) -> Verdict:
        return verify_lake(self.folder, self._signed, self._signed, lambda: StoredKeys(self.records))


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path)
    yield made
    made.records.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@contextlib.asynccontextmanager
async def governed(broker: Broker):
    """Give a bus on a new, empty GOVERNED."""
    bus = await Bus.connect(broker.url, "test")
    for memory in (True, False):  # the change of storage makes it anew
        await ensured(bus, memory)
    try:
        yield bus
    finally:
        await bus.close()


async def ensured(bus: Bus, memory: bool) -> None:
    async with asyncio.timeout(40):
        while True:
            try:
                within = [subjects.GOVERNED_SUBJECTS]
                await bus.ensure_stream(subjects.GOVERNED, within, memory=memory, limit_bytes=1 << 26)
                return
            except TryLaterError:  # the broker is busy
                await asyncio.sleep(0.1)


async def published(bus: Bus, *chunks: Chunk) -> None:
    for made in chunks:
        await bus.append(subjects.governed(0), encode(made))
        await bus.publish(f"{subjects.CHUNK}.0", str(made.record.number).encode())


async def until(question: Callable[[], object]) -> None:
    async with asyncio.timeout(40):
        while not question():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(writer: LakeWriter):
    task = asyncio.create_task(writer.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_chunks_come_from_the_stream_into_the_lake_once_and_in_their_own_days(lake, broker):
    async def run() -> None:
        async with governed(broker) as bus:
            await published(bus, lake.chunk(1), lake.chunk(2, days=(0, -3)))
            writer = lake.writer(bus)
            async with running(writer):
                await until(lambda: writer.metrics()["chunk"] == 2)
                await published(bus, lake.chunk(3, empty=True), lake.chunk(4))
                await until(lambda: writer.metrics()["chunk"] == 4)
                told = writer.metrics()
            assert told["lake"]["rows"] == 48
            assert told["alarms"] == []
            assert lake.records.positions()[("lake", 0)] == 4
            again = lake.writer(bus)
            async with running(again):
                await published(bus, lake.chunk(5))
                await until(lambda: again.metrics()["chunk"] == 5)

    asyncio.run(run())
    assert lake.stored() == {1: 12, 2: 24, 4: 12, 5: 12}
    assert {row["day"] for row in lake.rows()} == {
        time.strftime("%Y-%m-%d", time.gmtime((NOW_US + day * DAY_US) / 1e6)) for day in (0, -3)
    }
    assert all(row["day"] == row["time"].strftime("%Y-%m-%d") for row in lake.rows())
    assert lake.verdict() == Verdict(5, 60, [])


def test_chunks_that_are_gone_stop_the_lake_with_an_alarm(lake, broker):
    async def run() -> None:
        async with governed(broker) as bus:
            await published(bus, lake.chunk(7))
            writer = lake.writer(bus)
            async with running(writer):
                await until(lambda: writer.metrics()["alarms"])
                (alarm,) = writer.metrics()["alarms"]
            assert (alarm["code"], "Chunk 1 is gone" in alarm["message"]) == ("lake_conflict", True)

    asyncio.run(run())
    assert lake.rows() == []


def test_a_forged_chunk_stops_the_lake_with_an_alarm_until_it_is_gone(lake, broker, tmp_path):
    async def run() -> None:
        forged = chunk(2, [(CAR, "A.b", NOW_US, 199.0, 0)], signer=Signer(tmp_path / "forger", tmp_path / "forger"))
        async with governed(broker) as bus:
            writer = lake.writer(bus)
            async with running(writer):
                await published(bus, lake.chunk(1))
                await until(lambda: writer.metrics()["chunk"] == 1)
                await published(bus, forged)
                await until(lambda: writer.metrics()["alarms"])
                (alarm,) = writer.metrics()["alarms"]
                assert (alarm["code"], "not signed" in alarm["message"]) == ("forged_chunk", True)
                last = await bus.last(subjects.GOVERNED, subjects.governed(0))
                await bus.remove(subjects.GOVERNED, last.sequence)
                await published(bus, lake.chunk(2), lake.chunk(3))
                await until(lambda: writer.metrics()["chunk"] == 3)
                await until(lambda: writer.metrics()["alarms"] == [])

    asyncio.run(run())
    assert lake.verdict() == Verdict(3, 36, [])


def test_a_stream_that_ends_before_the_lake_stops_it_with_an_alarm(lake, broker):
    async def run() -> None:
        async with governed(broker) as bus:
            lake.writer()._commit([lake.chunk(1), lake.chunk(2)])
            await published(bus, lake.chunk(1))
            writer = lake.writer(bus)
            async with running(writer):
                await until(lambda: writer.metrics()["alarms"])
                assert "ends with chunk 1" in writer.metrics()["alarms"][0]["message"]

    asyncio.run(run())
    assert lake.stored() == {1: 12, 2: 12}


def test_a_crash_between_receipts_and_commit_leaves_every_row_once(lake, monkeypatch):
    writer = lake.writer()
    writer._commit([lake.chunk(1)])

    def cut(*_: object) -> None:
        raise TryLaterError("The disk is full.")

    monkeypatch.setattr(writer._table, "commit", cut)
    with pytest.raises(TryLaterError):
        writer._commit([lake.chunk(2)])
    after = lake.writer()
    assert after._table.position("lake/0") == 1
    after._commit([lake.chunk(2)])
    assert lake.stored() == {1: 12, 2: 12}
    assert lake.verdict() == Verdict(2, 24, [])


def test_records_that_are_away_after_the_commit_lead_to_no_second_copy(lake, monkeypatch):
    writer = lake.writer()

    def away(*_: object) -> None:
        raise TryLaterError("The records are locked.")

    with monkeypatch.context() as patched:
        patched.setattr(lake.records, "set_position", away)
        with pytest.raises(TryLaterError):
            writer._commit([lake.chunk(1)])
    with pytest.raises(ConflictError):
        writer._commit([lake.chunk(1)])
    assert writer._table.position("lake/0") == 1
    assert lake.stored() == {1: 12}


def test_a_receipt_cut_short_by_a_crash_hides_none_after_it(lake):
    writer = lake.writer()
    writer._commit([lake.chunk(1)])
    (file,) = (lake.folder / "receipts").iterdir()
    with file.open("ab") as sink:
        sink.write(b'\n{"statement":{"chunk":2')
    writer._commit([lake.chunk(2)])
    assert lake.verdict() == Verdict(2, 24, [])


def test_compaction_changes_no_row_and_leaves_one_sorted_file_a_day(lake):
    writer = lake.writer()
    for number in range(1, 7):
        writer._commit([lake.chunk(number, days=(0, -1) if number % 2 else (0,))])
    key = "vehicle", "signal", "time"
    before = sorted(lake.rows(), key=lambda row: [row[name] for name in key])
    assert len(lake.files()) == 9
    assert writer.compact() == 9
    assert sorted(lake.rows(), key=lambda row: [row[name] for name in key]) == before
    assert len(lake.files()) == 2
    for file in lake.files():
        rows = pq.ParquetFile(file).read().to_pylist()
        keys = [[row[name] for name in key] for row in rows]
        assert keys == sorted(keys)
    assert writer.compact() == 0
    writer._commit([lake.chunk(7)])
    assert lake.verdict() == Verdict(7, 7 * 12 + 3 * 12, [])


def test_tenants_rows_lie_in_files_of_their_own_that_name_no_other_car_and_are_joined_apart(lake):
    writer, tenants = lake.writer(), {"acme": [CAR], "beta": [OTHER]}
    for number in range(1, 4):
        rows = [(car, "A.b", NOW_US + number * 100 + at, float(at), 0) for car in (CAR, OTHER) for at in range(3)]
        writer._commit([chunk(number, rows, signer=lake.signer, tenants=tenants, records=lake.records)])
    assert len(lake.files()) == 6
    assert lake.verdict() == Verdict(3, 18, [])
    assert writer.compact() == 6
    assert [file.relative_to(lake.folder / "samples").parts[0] for file in lake.files()] == [
        "tenant=acme",
        "tenant=beta",
    ]
    for file, mine, other in zip(lake.files(), (CAR, OTHER), (OTHER, CAR), strict=True):
        assert set(pq.ParquetFile(file).read()["vehicle"].to_pylist()) == {mine}
        assert other.encode() not in file.read_bytes()
    assert lake.verdict() == Verdict(3, 18, [])


def test_a_chunk_that_does_not_say_whose_a_car_is_is_not_taken_in(lake):
    rows = [(car, "A.b", NOW_US, 1.0, 0) for car in (CAR, OTHER)]
    made = chunk(1, rows, signer=lake.signer)
    with pytest.raises(ConflictError, match="does not say whose"):
        lake.writer()._commit([replace(made, record=replace(made.record, tenants={"acme": [CAR]}))])
    assert (lake.rows(), list((lake.folder / "receipts").iterdir())) == ([], [])


def test_compaction_stays_within_its_window_and_leaves_large_files_alone(lake):
    writer = lake.writer(settings=replace(QUICK, window_rows=24))
    for number in range(1, 6):
        writer._commit([lake.chunk(number)])
    assert writer.compact() == 0  # twelve rows are half a window
    small = lake.writer(settings=replace(QUICK, window_rows=37))
    assert small.compact() == 5
    assert len(lake.files()) == 2  # three and two
    assert lake.verdict().faults == []


def test_compaction_leaves_a_checkpoint_and_deletes_what_no_query_reads_any_more(lake, monkeypatch):
    writer = lake.writer()
    for number in range(1, 4):
        writer._commit([lake.chunk(number)])
    before = lake.files()
    assert writer.compact() == 3
    assert writer._compacted == 1
    assert list((lake.folder / "samples" / "_delta_log").glob("*.checkpoint*.parquet"))
    assert all(file.exists() for file in before)
    monkeypatch.setattr(delta, "KEEP_OLD_FILES_H", 0)
    writer.compact()
    assert not any(file.exists() for file in before)
    assert lake.verdict() == Verdict(3, 36, [])


# what stands in one commit, and when it is made


def test_receipts_are_flushed_before_the_rows_are_committed_and_positions_told_last(lake, monkeypatch):
    writer, done = lake.writer(), []

    def noted(owner: object, name: str) -> None:
        true = getattr(owner, name)

        def noting(*arguments: object) -> object:
            done.append(name)
            return true(*arguments)

        monkeypatch.setattr(owner, name, noting)

    for owner, name in ((rooms, "flush"), (writer._table, "commit"), (lake.records, "set_position")):
        noted(owner, name)
    noted(writer, "_keep_receipts")
    noted(rooms.os, "fsync")
    writer._keep_receipts([lake.chunk(1)])
    assert done == ["_keep_receipts", "fsync", "flush", "fsync"]  # the file, then the folder that names it
    done.clear()
    writer._keep_receipts([lake.chunk(1)])
    assert done == ["_keep_receipts", "fsync"]
    done.clear()
    writer._commit([lake.chunk(1)])
    assert [name for name in done if name != "fsync"] == ["_keep_receipts", "commit", "set_position"]


def test_receipts_lie_in_the_file_of_the_day_the_chunk_was_made(lake):
    lake.writer()._commit([lake.chunk(1)])
    day = time.strftime("%Y-%m-%d", time.gmtime(NOW_US / 1e6))
    assert [file.name for file in (lake.folder / "receipts").iterdir()] == [f"{day}-0.jsonl"]


def test_chunks_without_rows_move_the_position_and_leave_no_file(lake):
    lake.writer()._commit([lake.chunk(1, empty=True), lake.chunk(2, empty=True)])
    assert (lake.files(), lake.writer()._table.position("lake/0")) == ([], 2)
    assert lake.verdict() == Verdict(2, 0, [])


def test_a_commit_is_made_as_soon_as_its_rows_are_there(lake, broker):
    async def run() -> None:
        async with governed(broker) as bus:
            writer = lake.writer(bus, LakeSettings(rhythm_s=3600.0, commit_rows=24))
            async with running(writer):
                await published(bus, lake.chunk(1), lake.chunk(2), lake.chunk(3))
                await until(lambda: writer.metrics()["chunk"] == 2)
                assert len(lake.files()) == 1
                await published(bus, lake.chunk(4))
                await until(lambda: writer.metrics()["chunk"] == 4)
                assert len(lake.files()) == 2

    asyncio.run(run())


def test_a_commit_is_made_in_time_though_chunks_keep_coming(lake, broker):
    async def run() -> None:
        async with governed(broker) as bus:
            writer = lake.writer(bus, LakeSettings(rhythm_s=0.5))
            async with running(writer):
                for number in range(1, 400):
                    await published(bus, lake.chunk(number, empty=True))
                    await asyncio.sleep(0.1)
                    if writer.metrics()["chunk"]:
                        return
                raise AssertionError("nothing was committed as long as chunks came")

    asyncio.run(run())


def test_a_lake_that_cannot_write_says_so_and_goes_on_with_one_reader_when_it_can(lake, broker, monkeypatch):
    async def run() -> None:
        async with governed(broker) as bus:
            writer, failures = lake.writer(bus), [TryLaterError("The disk is full.", "Make room.")] * 2
            commit = writer._table.commit

            def full(*arguments: object) -> None:
                if failures:
                    raise failures.pop()
                commit(*arguments)

            monkeypatch.setattr(writer._table, "commit", full)
            async with running(writer):
                await published(bus, lake.chunk(1))
                await until(lambda: writer.metrics()["alarms"])
                (alarm,) = writer.metrics()["alarms"]
                assert (alarm["code"], alarm["do"]) == ("lake_stopped", "Make room.")
                await until(lambda: writer.metrics()["chunk"] == 1)
                await until(lambda: not writer.metrics()["alarms"])
                names = [task.get_coro().__name__ for task in asyncio.all_tasks()]
                assert names.count("_read") == 1

    asyncio.run(run())
    assert lake.verdict() == Verdict(1, 12, [])


def test_an_alarm_that_stays_keeps_the_time_since_when_it_stands(lake):
    writer = lake.writer()
    writer._raise_alarm("lake_stopped", "The disk is full.", "Make room.")
    first = writer.metrics()["alarms"][0]
    writer._raise_alarm("lake_stopped", "The disk is full.", "Make room.")
    assert writer.metrics()["alarms"][0] is first
    writer._raise_alarm("lake_stopped", "The disk is gone.", "Mount it.")
    assert writer.metrics()["alarms"][0]["message"] == "The disk is gone."


def test_small_files_are_joined_when_there_are_so_many_also_after_it_failed_once(lake, broker, monkeypatch):
    async def run() -> None:
        async with governed(broker) as bus:
            settings = replace(QUICK, small_files=3, compact_every_s=3600.0)
            for number in range(1, 4):
                lake.writer()._commit([lake.chunk(number)])
            await published(bus, *(lake.chunk(number) for number in range(1, 4)))
            writer, failures = lake.writer(bus, settings), [TryLaterError("The disk is full.")]
            compact = writer.compact

            def failing_once() -> int:
                if failures:
                    raise failures.pop()
                return compact()

            monkeypatch.setattr(writer, "compact", failing_once)
            async with running(writer):
                await until(lambda: len(lake.files()) == 1)

    asyncio.run(run())
    assert lake.verdict() == Verdict(3, 36, [])


# verify


@pytest.fixture
def proven(lake: Lake) -> Lake:
    writer = lake.writer()
    for number in (1, 2):
        writer._commit([lake.chunk(number)])
    assert lake.verdict() == Verdict(2, 24, [])
    return lake


def edited(file: Path, column: str, value: object) -> None:
    rows = pq.ParquetFile(file).read()
    cells = rows[column].to_pylist()
    at = next(at for at, cell in enumerate(cells) if cell is not None)
    cells[at] = value
    place = rows.column_names.index(column)
    pq.write_table(rows.set_column(place, rows.schema.field(column), [cells]), file)


@pytest.mark.parametrize(
    ("column", "value"),
    [("value", 7.5), ("text", "off"), ("vehicle", "x" * 16), ("signal", "Z.z"), ("provenance", "replay")],
)
def test_an_edited_cell_is_found(proven, column, value):
    edited(proven.files()[0], column, value)
    (fault,) = proven.verdict().faults
    assert fault.startswith("chunk 1: the rows are not those the governor signed, in tenant=default/day=")


def test_an_edited_chunk_number_is_found(proven):
    edited(proven.files()[0], "chunk", 2)
    assert proven.verdict().faults == [f"chunk {n}: {rows} rows, the receipt says 12" for n, rows in ((1, 11), (2, 13))]


def test_a_removed_file_is_found(proven):
    gone = proven.files()[1]
    gone.unlink()
    faults = proven.verdict().faults
    assert faults == [
        f"{gone.relative_to(proven.folder / 'samples')}: cannot be read as the lake's rows, FileNotFoundError",
        "chunk 2: 0 rows, the receipt says 12",
    ]


def test_a_file_taken_out_of_the_table_is_found(proven):
    deltalake.DeltaTable(proven.folder / "samples").delete("chunk = 2")
    assert proven.verdict().faults == ["chunk 2: 0 rows, the receipt says 12"]


def test_a_chunk_taken_out_with_its_receipt_is_found(proven):
    deltalake.DeltaTable(proven.folder / "samples").delete("chunk = 1")
    for file in (proven.folder / "receipts").iterdir():
        kept = [
            line for line in file.read_bytes().splitlines() if line and orjson.loads(line)["statement"]["chunk"] != 1
        ]
        file.write_bytes(b"\n".join(kept))
    assert proven.verdict().faults == ["chunk 1: 0 rows and no receipt"]


def test_rows_committed_by_hand_are_found(proven):
    table = deltalake.DeltaTable(proven.folder / "samples")
    rows = table.to_pyarrow_table().filter(table.to_pyarrow_table()["chunk"].to_numpy() == 2)
    deltalake.write_deltalake(table, rows, mode="append")
    assert proven.verdict().faults == ["chunk 2: 24 rows, the receipt says 12"]
    deltalake.write_deltalake(table, rows.set_column(6, rows.schema.field("chunk"), [[99] * 12]), mode="append")
    assert "chunk 99: 12 rows and no receipt" in proven.verdict().faults


def test_a_forged_receipt_is_found(proven):
    (file,) = (proven.folder / "receipts").iterdir()
    forger = Signer(proven.folder / "forged", proven.folder / "forged")
    forged = receipt(2, proven.chunk(2).rows, forger)
    file.write_bytes(file.read_bytes() + b"\n" + orjson.dumps(forged))
    assert proven.verdict().faults == ["chunk 2: the receipt's signature does not hold"]


def test_a_receipt_that_was_altered_is_found(proven):
    (file,) = (proven.folder / "receipts").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"kept":12', b'"kept":11'))
    assert proven.verdict().faults == [f"chunk {n}: the receipt's signature does not hold" for n in (1, 2)]


@pytest.mark.parametrize("line", [b"[]", b"3", b'{"statement":1,"signature":"00"}', b'{"statement":{"chunk":1}}'])
def test_a_line_that_is_no_receipt_is_a_fault_and_not_the_end(proven, line):
    (file,) = (proven.folder / "receipts").iterdir()
    file.write_bytes(file.read_bytes() + b"\n" + line)
    assert proven.verdict().faults == [f"{file.name}: holds a line that is no receipt"]


def test_a_file_moved_to_another_day_is_found(proven):
    table = deltalake.DeltaTable(proven.folder / "samples")
    table.update(updates={"day": "'2020-01-01'"}, predicate="chunk = 1")
    (fault,) = proven.verdict().faults
    assert fault.startswith("tenant=default/day=2020-01-01/")
    assert fault.endswith("holds rows of other days")


def test_where_there_is_no_lake_there_is_nothing_to_check_and_none_is_made(tmp_path):
    with pytest.raises(MissingError, match="no lake"):
        verify_lake(tmp_path, lambda *_: True, lambda *_: True, lambda: StoredKeys(lake.records))
    assert list(tmp_path.iterdir()) == []
