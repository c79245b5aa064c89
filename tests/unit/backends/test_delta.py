"""The table: exactly once, beside others, and open to every reader of Delta and Parquet."""

import json
import os
import resource
import time
from datetime import UTC, datetime
from pathlib import Path

import deltalake
import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carcloud.backends.delta import KEEP_OLD_FILES_H, Reader, Table, Totals
from carcloud.errors import ConflictError, MissingError, TryLaterError
from carcloud.lake.rows import PARTITIONS, SCHEMA, joined, part_of_chunk, part_of_file
from tests.stream import CAR, NOW_US, OTHER, chunk

APPLICATION = "lake/0"
DAY = datetime.fromtimestamp(NOW_US / 1e6, UTC).strftime("%Y-%m-%d")
PLACE = ("default", DAY)
DICTIONARIES = ["vehicle", "signal", "provenance"]


def rows(number: int, cars=(CAR, OTHER), path: str = "Vehicle.Speed") -> pa.Table:
    samples = [(car, path, NOW_US + number * 1000 + at, float(at), 0) for car in cars for at in range(3)]
    return joined([part_of_chunk(chunk(number, samples))])


def committed(table: Table, number: int, **about) -> None:
    table.commit(
        [table.write(PLACE, rows(number, **about), f"0-{number}")], APPLICATION, number, {"chunks": str(number)}
    )


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "lake" / "samples", SCHEMA, PARTITIONS)


def numbers(path: Path) -> list[int]:
    found = deltalake.DeltaTable(path).to_pyarrow_table(columns=["chunk"])["chunk"].to_pylist()
    return sorted(found)


def test_a_new_table_is_empty_and_stands_at_0(table):
    assert table.position(APPLICATION) == 0
    assert table.totals() == Totals(0, 0, 0, 0)
    assert table.live() == []


def test_rows_and_position_stand_in_one_commit(table):
    committed(table, 3)
    again = Table(table.path, SCHEMA, PARTITIONS)
    assert again.position(APPLICATION) == 3
    assert again.position("lake/1") == 0
    assert again.totals().rows == 6
    assert numbers(table.path) == [3] * 6


def test_what_is_delivered_again_is_refused_and_stored_once(table):
    committed(table, 3)
    for number in (2, 3):
        with pytest.raises(ConflictError, match="has committed"):
            committed(table, number)
    assert numbers(table.path) == [3] * 6


def test_a_zombie_that_missed_a_commit_is_refused(table):
    zombie = Table(table.path, SCHEMA, PARTITIONS)
    committed(table, 1)
    for number in (1, 2):
        with pytest.raises(ConflictError, match="moved under its writer"):
            committed(zombie, number)
    assert zombie.position(APPLICATION) == 1
    committed(zombie, 2)
    assert numbers(table.path) == [1] * 6 + [2] * 6


def test_another_application_does_not_stand_in_the_way(table):
    other = Table(table.path, SCHEMA, PARTITIONS)
    committed(table, 1)
    other.commit([other.write(PLACE, rows(9), "1-9")], "lake/1", 9, {})
    committed(table, 2)
    assert (table.position(APPLICATION), table.position("lake/1")) == (2, 9)


def test_a_commit_may_move_the_position_alone(table):
    table.commit([], APPLICATION, 7, {})
    assert (table.position(APPLICATION), table.totals().files) == (7, 0)


def test_files_are_replaced_beside_a_concurrent_append(table):
    for number in (1, 2):
        committed(table, number)
    compaction = Table(table.path, SCHEMA, PARTITIONS)
    old = compaction.live()
    together = joined([part_of_file(compaction.read(file, DICTIONARIES)) for file in old])
    new = compaction.write(PLACE, together, "joined")
    committed(table, 3)
    compaction.replace(old, [new])
    committed(table, 4)
    assert numbers(table.path) == [1] * 6 + [2] * 6 + [3] * 6 + [4] * 6
    assert table.totals().files == 3
    assert table.position(APPLICATION) == 4


def test_a_file_that_left_the_table_cannot_be_replaced_again(table):
    committed(table, 1)
    one, zombie = (Table(table.path, SCHEMA, PARTITIONS) for _ in range(2))
    old = one.live()
    new = zombie.write(PLACE, rows(1), "joined")
    one.replace(old, [one.write(PLACE, rows(1), "joined")])
    for _ in range(2):
        with pytest.raises(ConflictError, match="left the table"):
            zombie.replace(old, [new])
    assert numbers(table.path) == [1] * 6
    one.replace(one.live(), [one.write(PLACE, rows(1), "joined")])
    assert numbers(table.path) == [1] * 6


def test_of_two_that_replace_at_once_one_is_refused(table, monkeypatch):
    committed(table, 1)
    one, other = (Table(table.path, SCHEMA, PARTITIONS) for _ in range(2))
    old = one.live()
    monkeypatch.setattr(other, "live", lambda: old)  # it looked just before the first one committed
    one.replace(old, [one.write(PLACE, rows(1), "joined")])
    with pytest.raises(ConflictError, match="moved under its writer"):
        other.replace(old, [other.write(PLACE, rows(1), "joined")])
    assert numbers(table.path) == [1] * 6


def test_the_sweep_keeps_live_files_and_young_ones_and_deletes_old_strays(table):
    committed(table, 1)
    old = table.live()
    table.replace(old, [table.write(PLACE, rows(1), "joined")])
    stray = table.path / "tenant=default" / f"day={DAY}" / "stray.parquet"
    stray.write_bytes(b"half a file")
    fresh = table.path / "tenant=default" / f"day={DAY}" / "fresh.parquet"
    fresh.write_bytes(b"being written")
    past = time.time() - 3600 * KEEP_OLD_FILES_H - 60
    for path in (stray, table.path / table.live()[0].name):
        os.utime(path, (past, past))
    table.sweep()
    names = {path.name for path in (table.path / "tenant=default" / f"day={DAY}").iterdir()}
    assert "fresh.parquet" in names
    assert "stray.parquet" not in names
    assert {Path(file.name).name for file in (*old, *table.live())} <= names
    assert numbers(table.path) == [1] * 6


def test_a_checkpoint_changes_nothing_for_a_reader(table):
    reader = Reader(table.path, ("tenant", "default"))
    for number in range(1, 4):
        committed(table, number)
    table.checkpoint()
    assert reader.live()[0] == Table(table.path, SCHEMA, PARTITIONS).totals().version == 3
    committed(table, 4)
    assert len(reader.live()[1]) == 4
    assert numbers(table.path) == sorted([1, 2, 3, 4] * 6)


def test_a_reader_before_the_first_table_says_so(tmp_path):
    with pytest.raises(MissingError, match="no table yet"):
        Reader(tmp_path / "none", ("tenant", "default")).live()


def test_duckdb_polars_and_deltalake_read_the_same_rows(table):
    for number in (1, 2):
        committed(table, number)
    names = ["vehicle", "signal", "time", "value", "text", "provenance", "chunk", "tenant", "day"]
    expected = (
        deltalake.DeltaTable(table.path)
        .to_pyarrow_table()
        .sort_by([("chunk", "ascending"), ("vehicle", "ascending"), ("time", "ascending")])
    )
    assert expected.column_names == names
    assert expected.schema.field("time").type == pa.timestamp("us", "UTC")
    order = ["chunk", "vehicle", "time"]
    for frame in (pl.scan_delta(str(table.path)).collect(), pl.read_delta(str(table.path))):
        assert frame.select(names).sort(order).to_dicts() == expected.to_pylist()
    files = [str(table.path / file.name) for file in table.live()]
    read = "read_parquet(?, hive_partitioning = true, hive_types_autocast = false)"
    with duckdb.connect() as database:
        question = f"select {', '.join(names)} from {read} order by chunk, vehicle, time"
        found = [dict(zip(names, row, strict=True)) for row in database.execute(question, [files]).fetchall()]
    assert [{**row, "time": row["time"].astimezone(UTC)} for row in found] == expected.to_pylist()


def statistics(table: Table) -> list[dict]:
    log = (table.path / "_delta_log" / f"{table.totals().version:020}.json").read_text()
    return [json.loads(action["add"]["stats"]) for action in map(json.loads, log.splitlines()) if "add" in action]


def test_a_files_statistics_are_those_of_its_own_rows(table):
    late = rows(1).filter(pa.array([name == OTHER for name in rows(1)["vehicle"].to_pylist()]))
    assert late["vehicle"].chunk(0).dictionary.to_pylist() == [CAR, OTHER]
    table.commit([table.write(PLACE, late, "late")], APPLICATION, 1, {})
    (found,) = statistics(table)
    assert found["numRecords"] == 3
    assert found["nullCount"]["text"] == 3
    assert set(found) == {"numRecords", "nullCount"}


def test_readers_leave_days_and_row_groups_out_and_no_row_that_is_asked_for(table):
    committed(table, 1)
    lone, other = deltalake.DeltaTable(table.path).to_pyarrow_dataset(), pa.compute.field("vehicle") == "zzzz"
    assert list(lone.get_fragments(pa.compute.field("day") == "2020-01-01")) == []
    (file,) = lone.get_fragments()
    assert (len(file.row_groups), file.subset(other).row_groups) == (1, [])
    at = datetime.fromtimestamp((NOW_US + 1001) / 1e6, UTC)
    for column, value, count in (("vehicle", OTHER, 3), ("time", at, 2), ("value", 1.0, 2), ("chunk", 1, 6)):
        assert lone.to_table(filter=pa.compute.field(column) == pa.scalar(value)).num_rows == count
        assert pl.scan_delta(str(table.path)).filter(pl.col(column) == value).collect().height == count


def test_the_log_names_no_car_and_says_no_moment(table):
    committed(table, 1)
    table.checkpoint()
    table.replace(table.live(), [table.write(PLACE, rows(1, (OTHER,)), "joined")])
    table.checkpoint()
    for file in (table.path / "_delta_log").iterdir():
        said = pq.read_table(file).to_pylist() if file.suffix == ".parquet" else file.read_text()
        assert not [word for word in (CAR, OTHER, f"{DAY}T", str(NOW_US)[:9]) if word in f"{said}"], file


@pytest.mark.parametrize("values", [["on", "", "é"], [1.5, float("1e300"), -0.0], ["on", 2.0, "off"]])
def test_texts_and_numbers_come_back_from_a_file(table, values):
    samples = [(CAR, "A.b", NOW_US + at, value, at) for at, value in enumerate(values)]
    table.commit([table.write(PLACE, joined([part_of_chunk(chunk(1, samples))]), "x")], APPLICATION, 1, {})
    (file,) = table.live()
    assert (file.partition, file.rows, file.bytes) == (PLACE, 3, (table.path / file.name).stat().st_size)
    found = table.read(file, DICTIONARIES)
    assert [
        v if t is None else t for v, t in zip(found["value"].to_pylist(), found["text"].to_pylist(), strict=True)
    ] == values
    assert found["provenance"].to_pylist() == ["measured", "replay", "simulated"]


def test_a_large_file_has_several_row_groups_with_statistics(table):
    many = 300_000
    samples = pa.table(
        {
            "vehicle": pa.DictionaryArray.from_arrays(np.zeros(many, np.int32), pa.array([CAR])),
            "signal": pa.DictionaryArray.from_arrays(np.zeros(many, np.int32), pa.array(["A.b"])),
            "time": pa.array(np.arange(many) + NOW_US).cast(pa.timestamp("us", "UTC")),
            "value": np.arange(many, dtype=float),
            "text": pa.nulls(many, pa.string()),
            "provenance": pa.DictionaryArray.from_arrays(np.zeros(many, np.int8), pa.array(["measured"])),
            "chunk": np.ones(many, np.int64),
        }
    )
    table.commit([table.write(PLACE, samples, "big")], APPLICATION, 1, {})
    meta = pq.ParquetFile(table.path / table.live()[0].name).metadata
    assert meta.num_row_groups == 3
    assert meta.row_group(1).column(2).statistics.min is not None
    assert table.read(table.live()[0], []).column("value").to_numpy().sum() == many * (many - 1) / 2


def test_where_there_is_no_room_the_writer_is_told_so_and_nothing_stays_behind(table):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(TryLaterError, match="Make room"):
            committed(table, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(table.path.glob("*/*.parquet")) == []
    committed(table, 1)
    assert numbers(table.path) == [1] * 6
