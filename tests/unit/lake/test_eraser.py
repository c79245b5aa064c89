"""Erasing a car from the lake: no byte of it stays, every other row stays provable, and nothing else can hide in it."""

from collections.abc import Iterator
from pathlib import Path

import deltalake
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carcloud.backends.delta import Table
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import ConflictError, TryLaterError
from carcloud.lake import eraser as erasing
from carcloud.lake.eraser import Eraser
from carcloud.lake.rows import PARTITIONS, SCHEMA
from carcloud.lake.settings import LakeSettings
from carcloud.lake.verify import Verdict, verify_lake
from carcloud.lake.writer import LakeWriter
from carcloud.safety.signer import Signature, Signer, Verifier
from carcloud.stream.digest_keys import StoredKeys
from tests.stream import CAR, DAY_US, NOW_US, OTHER, POLICY, chunk
from tests.unpacked import holding

THIRD = "cccccccccccccccc"


class Lake:
    """A lake that a writer filled, with chunks over two days, and a car that has a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys = folder / "lake", folder / "keys"
        self.folder.mkdir()
        self.records, self.signer = Records.open(f"sqlite:///{folder}/records.db"), Signer(self.keys, folder / "run")
        settings = LakeSettings(window_rows=30)
        keys = self.signed("receipt"), self.sign, self.signed("erasure")
        self.writer = LakeWriter(Bus(), self.records, self.folder, settings, *keys, lambda: POLICY, 0.0)
        for number in range(1, 5):
            self.fill(number, (CAR, OTHER, THIRD) if number % 2 else (CAR, OTHER), days=(0, 1) if number > 2 else (0,))
        self.fill(5, (CAR,), days=(3,))
        self.fill(6, (), days=())

    def fill(self, number: int, cars: tuple[str, ...], days: tuple[int, ...]) -> None:
        rows = [
            (
                car,
                path,
                NOW_US + day * DAY_US + number * 100 + at,
                f"{car} says {at}" if path == "B.a" else float(at),
                0,
            )
            for day in days
            for car in cars
            for path in ("A.b", "B.a")
            for at in range(3)
        ]
        self.writer._commit([chunk(number, rows, signer=self.signer, records=self.records)])

    def sign(self, said: bytes) -> Signature:
        answer = self.signer.answer(b"\x07erasure" + said)
        return Signature(answer[1:17].decode(), answer[17:])

    def signed(self, kind: str) -> Verifier:
        return Verifier(self.keys, kind)  # type: ignore[arg-type]

    def eraser(self) -> Eraser:
        table = Table(self.folder / "samples", SCHEMA, PARTITIONS)
        keys = StoredKeys(self.records)
        return Eraser(table, self.folder / "erased", self.sign, self.signed("erasure"), 0.0, keys)

    def verdict(self) -> Verdict:
        return verify_lake(
            self.folder, self.signed("receipt"), self.signed("erasure"), lambda: StoredKeys(self.records)
        )

    def cars(self) -> list[str]:
        return sorted(set(deltalake.DeltaTable(self.folder / "samples").to_pyarrow_table()["vehicle"].to_pylist()))

    def unpacked(self) -> str:
        """Return all that lies in the folder as text: files as they are, Parquet files row by row."""
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        raw = "".join(file.read_bytes().decode("latin-1") for file in files)
        return raw + "".join(str(pq.read_table(file).to_pylist()) for file in files if file.suffix == ".parquet")


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path)
    yield made
    made.records.close()


def test_all_rows_of_the_car_go_and_all_others_stay_as_signed(lake: Lake) -> None:
    before = lake.verdict()
    assert (before.faults, before.erased) == ([], 0)
    facts = lake.eraser().erase("e1", CAR)
    assert facts == {"chunks": 5, "rows": 6 * 7}
    assert lake.cars() == [OTHER, THIRD]
    assert lake.verdict() == Verdict(6, before.rows - 6 * 7, [], 6 * 7)
    assert f"{CAR} says" not in lake.unpacked()
    assert f"{OTHER} says 1" in lake.unpacked()
    assert {where.split(" ")[0] for where in holding(lake.folder, [CAR.encode()])} == {"erased/e1.jsonl"}


@pytest.mark.parametrize("compacted", ["before", "after"])
def test_erased_and_compacted_in_either_order(lake: Lake, compacted: str) -> None:
    if compacted == "before":
        lake.writer.compact()
    lake.eraser().erase("e1", CAR)
    if compacted == "after":
        lake.writer.compact()
    verdict = lake.verdict()
    assert (verdict.faults, verdict.erased, lake.cars()) == ([], 42, [OTHER, THIRD])
    assert f"{CAR} says" not in lake.unpacked()


def test_all_cars_one_after_the_other(lake: Lake) -> None:
    rows = lake.verdict().rows
    for number, car in enumerate((OTHER, CAR, THIRD)):
        lake.eraser().erase(f"e{number}", car)
        assert lake.verdict().faults == []
    assert lake.verdict() == Verdict(6, 0, [], rows)
    assert "says" not in lake.unpacked()


def test_a_car_goes_under_all_its_names_at_once(lake: Lake) -> None:
    before = lake.verdict()
    facts = lake.eraser().erase("e1", CAR, (OTHER, "p-bbbbbbbbbbbbbbbbbbbb"))
    assert lake.cars() == [THIRD]
    assert lake.verdict() == Verdict(6, before.rows - facts["rows"], [], facts["rows"])
    assert facts["rows"] > 6 * 7
    assert f"{CAR} says" not in lake.unpacked()
    assert f"{OTHER} says" not in lake.unpacked()
    assert f"{THIRD} says 1" in lake.unpacked()


def test_a_car_without_rows_is_erased_without_a_trace(lake: Lake) -> None:
    before = lake.verdict()
    assert lake.eraser().erase("e1", "x" * 16) == {"chunks": 0, "rows": 0}
    assert lake.verdict() == before


@pytest.mark.parametrize("done", range(4))
def test_interrupted_anywhere_it_goes_on_and_verifies_in_between(lake: Lake, monkeypatch, done: int) -> None:
    replaced, true = [], Table.replace

    def cut_short(self: Table, *given: object) -> None:
        if len(replaced) == done:
            raise TryLaterError("The disk is full.")
        replaced.append(given)
        true(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "replace", cut_short)
    with pytest.raises(TryLaterError):
        lake.eraser().erase("e1", CAR)
    monkeypatch.setattr(Table, "replace", true)
    facts = lake.eraser().erase("e1", CAR)
    assert facts == {"chunks": 5, "rows": 42}
    assert (lake.verdict().faults, lake.cars()) == ([], [OTHER, THIRD])
    assert f"{CAR} says" not in lake.unpacked()


def test_nothing_is_deleted_while_the_signer_is_away(lake: Lake) -> None:
    def away(_: bytes) -> Signature:
        raise TryLaterError("The signer cannot be reached.")

    before = lake.verdict()
    table = Table(lake.folder / "samples", SCHEMA, PARTITIONS)
    keys = StoredKeys(lake.records)
    with pytest.raises(TryLaterError):
        Eraser(table, lake.folder / "erased", away, lake.signed("erasure"), 0.0, keys).erase("e1", CAR)
    assert lake.verdict() == before
    assert CAR in lake.cars()


def test_a_file_that_cannot_be_read_stops_it_before_anything_is_deleted(lake: Lake, monkeypatch) -> None:
    monkeypatch.setattr(erasing, "windows", lambda *given: given[-1]("file: cannot be read"))
    with pytest.raises(ConflictError, match="cannot be read"):
        lake.eraser().erase("e1", CAR)
    assert CAR in lake.cars()
    assert not (lake.folder / "erased").exists()


def test_a_file_that_a_crash_left_half_written_stops_nothing_and_goes(lake: Lake) -> None:
    whole = next((lake.folder / "samples").rglob("*.parquet"))
    (whole.parent / "0-000000000099-deadbeefdead.parquet").write_bytes(whole.read_bytes()[:500])
    (whole.parent / "0-000000000099-deadbeefdeae.parquet.new").write_bytes(whole.read_bytes()[:500])
    assert lake.eraser().erase("e1", CAR)["rows"] == 42
    assert (lake.verdict().faults, lake.cars()) == ([], [OTHER, THIRD])
    assert not (whole.parent / "0-000000000099-deadbeefdead.parquet").exists()
    Table(lake.folder / "samples", SCHEMA, PARTITIONS).tidy()
    assert list((lake.folder / "samples").rglob("*.new")) == []


def test_a_damaged_file_of_the_table_is_said_and_nothing_is_deleted(lake: Lake) -> None:
    table = Table(lake.folder / "samples", SCHEMA, PARTITIONS)
    (table.path / table.live()[0].name).write_bytes(b"PAR1 and no more")
    with pytest.raises(ConflictError, match="cannot be erased from"):
        lake.eraser().erase("e1", CAR)
    assert not (lake.folder / "erased").exists()


# attacks


def test_rows_deleted_without_a_tombstone_are_missed(lake: Lake) -> None:
    lake.eraser().erase("e1", CAR)
    (lake.folder / "erased" / "e1.jsonl").unlink()
    assert any("the receipt says" in fault for fault in lake.verdict().faults)


@pytest.mark.parametrize("change", ["vehicle", "rows", "leaf", "chunk", "signature"])
def test_a_tombstone_that_was_changed_does_not_count(lake: Lake, change: str) -> None:
    lake.eraser().erase("e1", CAR)
    file = lake.folder / "erased" / "e1.jsonl"
    line = orjson.loads(file.read_bytes())
    entry = line["statement"]["chunks"][0]
    if change == "vehicle":
        line["statement"]["vehicle"] = OTHER
    elif change == "signature":
        line["signature"] = "00" * 64
    else:
        at = ("chunk", "rows", "leaf").index(change)
        entry[at] = "00" * 32 if change == "leaf" else entry[at] + 1
    file.write_bytes(orjson.dumps(line))
    faults = lake.verdict().faults
    assert any("no tombstones the signer signed" in fault for fault in faults)
    assert any("the receipt says" in fault for fault in faults)


def test_a_tombstone_hides_no_change_of_another_car(lake: Lake) -> None:
    lake.eraser().erase("e1", CAR)
    table = Table(lake.folder / "samples", SCHEMA, PARTITIONS)
    file = table.live()[0]
    rows = table.read(file, ["vehicle", "signal", "provenance"])
    values = rows["value"].to_pylist()
    values[0] = 199.0
    changed = rows.set_column(rows.schema.get_field_index("value"), "value", pa.array(values))
    pq.write_table(changed, table.path / file.name)
    assert any("not those the governor signed" in fault for fault in lake.verdict().faults)


def test_the_table_s_log_says_nothing_of_what_cars_said(lake: Lake) -> None:
    log = "".join(file.read_text() for file in (lake.folder / "samples" / "_delta_log").glob("*.json"))
    assert f"{CAR} says" not in log
