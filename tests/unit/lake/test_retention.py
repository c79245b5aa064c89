"""Expired rows leave the lake: no byte of them stays, and every other row stays provable."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carcloud.backends.delta import Table
from carcloud.errors import ConflictError, TryLaterError
from carcloud.lake.expired import Expired, joined_runs
from carcloud.lake.verify import Verdict
from carcloud.safety.governance.policy import parse
from carcloud.safety.signer import Signature
from tests.lake import TODAY, Lake
from tests.stream import CAR, DAY_US, NOW_US, OTHER

SHORT, LONG, EVER = "A.short", "B.long", "C.ever"
DAYS = {SHORT: 7, LONG: 30}
POLICY = """
name: timed
purposes: {run: {basis: contract, why: So that tests have something lawful.}}
rules:
  - {paths: [A.*], class: personal, purposes: [run], days: 7}
  - {paths: [B.*], class: operational, purposes: [run], days: 30}
  - {paths: [C.*], class: operational, purposes: [run]}
"""


def said(car: str, path: str, ago: int) -> str:
    return f"{car} {path} {ago} days ago"


def rows(*ago: int, cars: tuple[str, ...] = (CAR, OTHER), paths: tuple[str, ...] = (SHORT, LONG, EVER)) -> list[tuple]:
    """Return rows of the days so long ago: a text and two numbers a car, signal and day."""
    return [
        (car, path, NOW_US - day * DAY_US + at, said(car, path, day) if at == 0 else float(at), 0)
        for day in ago
        for car in cars
        for path in paths
        for at in range(3)
    ]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path)
    yield made
    made.records.close()


def test_what_is_older_than_its_days_goes_and_the_rest_stays_provable(lake: Lake) -> None:
    lake.fill(rows(0, 7, 8, 40))
    before = lake.verdict()
    done = lake.expire(DAYS.get)
    assert done.facts() == {"default": {"rows": 18, "files": 2, "days": 2, "until": str_day(8)}}
    assert lake.verdict() == Verdict(1, before.rows - 18, [], 0, 18)
    assert {(path, TODAY - day) for _, path, day in lake.rows()} == {
        *((path, day) for path in (SHORT, LONG, EVER) for day in (0, 7)),
        *((LONG, 8), (EVER, 8), (EVER, 40)),
    }
    text = lake.unpacked()
    for car in (CAR, OTHER):
        gone = [(SHORT, 8), (SHORT, 40), (LONG, 40)]
        assert [at for at in gone if said(car, *at) in text] == []
        assert all(said(car, *at) in text for at in ((SHORT, 7), (LONG, 8), (EVER, 40)))
    assert lake.expire(DAYS.get).steps == []


def str_day(ago: int) -> str:
    return f"{datetime.fromtimestamp(NOW_US / 1e6 - ago * 86400, UTC):%Y-%m-%d}"


def test_day_after_day_until_nothing_is_left_but_the_numbers_of_chunks(lake: Lake) -> None:
    for _ in range(3):
        lake.fill(rows(0, paths=(SHORT, LONG)))
    lake.fill()
    lake.fill(rows(1, paths=(SHORT,)))
    for later in range(40):
        lake.expire(DAYS.get, TODAY + later)
        assert lake.verdict().faults == []
    assert lake.rows() == []
    assert lake.verdict() == Verdict(5, 0, [], 0, 3 * 12 + 6)
    assert {file.name for file in (lake.folder / "expired").iterdir()} == {"whole.zst"}
    assert Expired(lake.folder / "expired", lake.signed("erasure"), pytest.fail).runs() == [(1, 5)]
    lake.fill(rows(0))
    assert lake.verdict().faults == []


def test_a_car_of_which_nothing_is_left_in_a_chunk_keeps_a_leaf_only(lake: Lake) -> None:
    lake.fill([*rows(8, cars=(CAR,), paths=(SHORT,)), *rows(8, cars=(OTHER,), paths=(SHORT, EVER))])
    lake.expire(DAYS.get)
    gone = Expired(lake.folder / "expired", lake.signed("erasure"), pytest.fail).of(1)
    assert (set(gone.cars), set(gone.cells), len(gone.cells["default", OTHER])) == (
        {("default", CAR)},
        {("default", OTHER)},
        1,
    )
    assert gone.cars["default", CAR][0] == 3
    assert lake.verdict().faults == []


def test_a_shorter_time_takes_hold_at_the_next_pass(lake: Lake) -> None:
    lake.fill(rows(5))
    assert lake.expire(DAYS.get).steps == []
    assert sum(step.rows for step in lake.expire({SHORT: 7, EVER: 4}.get).steps) == 6
    assert lake.verdict().faults == []


@pytest.mark.parametrize("first", ["erase", "expire"])
def test_erased_and_expired_in_either_order(lake: Lake, first: str) -> None:
    lake.fill(rows(0, 8))
    lake.fill(rows(8, cars=(CAR,)))
    lake.fill(rows(8, paths=(SHORT,)))
    if first == "erase":
        lake.erase(CAR)
        assert lake.verdict().faults == []
        lake.expire(DAYS.get)
    else:
        lake.expire(DAYS.get)
        assert lake.verdict().faults == []
        lake.erase(CAR)
    verdict = lake.verdict()
    assert (verdict.faults, verdict.rows + verdict.erased + verdict.expired) == ([], 36 + 9 + 6)
    assert {car for car, _, _ in lake.rows()} == {OTHER}
    assert f"{CAR} {SHORT}" not in lake.unpacked()
    lake.expire({SHORT: 1, LONG: 1, EVER: 1}.get, TODAY + 2)
    assert (lake.rows(), lake.verdict().faults) == ([], [])


def test_each_tenant_hears_of_its_own_rows_in_the_audit_log(lake: Lake) -> None:
    lake.fill([*rows(8, cars=(CAR,)), *rows(9, 10, cars=(OTHER,))], tenants={"default": [CAR], "other": [OTHER]})
    policy = parse(POLICY, "timed")
    asyncio.run(lake.expiring(policy).expire(datetime.fromtimestamp(NOW_US / 1e6, UTC)))
    acts = lake.records.audit.pending(10)
    assert [(act.tenant, act.actor, act.action, act.object) for act in acts] == [
        (tenant, "process:lake", "expire", "lake") for tenant in ("default", "other")
    ]
    assert [orjson.loads(act.facts) for act in acts] == [
        {"rows": rows, "files": files, "days": files, "until": str_day(until), "policy": policy.hash}
        for rows, files, until in ((3, 1, 8), (6, 2, 9))
    ]
    asyncio.run(lake.expiring(policy).expire(datetime.fromtimestamp(NOW_US / 1e6, UTC)))
    assert len(lake.records.audit.pending(10)) == 2
    assert said(OTHER, SHORT, 9) not in lake.unpacked()
    assert lake.verdict().faults == []


@pytest.mark.parametrize("done", range(3))
def test_interrupted_anywhere_it_goes_on_loses_no_count_and_verifies_in_between(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    for ago in (8, 9, 10):
        lake.fill(rows(ago))
    replaced, true = [], Table.replace

    def cut_short(self: Table, *given: object) -> None:
        if len(replaced) == done:
            raise TryLaterError("The disk is full.")
        replaced.append(given)
        true(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "replace", cut_short)
    with pytest.raises(TryLaterError):
        lake.expire(DAYS.get)
    monkeypatch.setattr(Table, "replace", true)
    assert lake.verdict().faults == []
    assert lake.expire(DAYS.get).facts()["default"] == {"rows": 18, "files": 3, "days": 3, "until": str_day(8)}
    assert lake.verdict().faults == []
    assert SHORT not in {path for _, path, _ in lake.rows()}
    assert said(CAR, SHORT, 9) not in lake.unpacked()


@pytest.mark.parametrize("signatures", range(5))
def test_nothing_goes_before_its_tombstones_are_signed(lake: Lake, signatures: int) -> None:
    for ago in (8, 9):
        lake.fill([*rows(ago, paths=(SHORT,)), *rows(ago, cars=(CAR,), paths=(EVER,))])
    before, retention, left = lake.verdict(), lake.retention(), [signatures]

    def away(said: bytes) -> Signature:
        left[0] -= 1
        if left[0] < 0:
            raise TryLaterError("The signer cannot be reached.")
        return lake.sign(said)

    retention._sign = away
    try:
        retention.expire(lake.table(), DAYS.get, TODAY)
    except TryLaterError:
        verdict = lake.verdict()
        assert (verdict.faults, verdict.rows + verdict.expired) == ([], before.rows)
    lake.expire(DAYS.get)
    assert lake.verdict().faults == []
    assert SHORT not in {path for _, path, _ in lake.rows()}


def test_a_damaged_file_is_said_and_nothing_of_it_goes(lake: Lake) -> None:
    lake.fill(rows(8))
    table = lake.table()
    (table.path / table.live()[0].name).write_bytes(b"PAR1 and no more")
    with pytest.raises(ConflictError, match="cannot leave the lake"):
        lake.expire(DAYS.get)
    assert not (lake.folder / "expired").exists()


def test_runs_of_chunks_join_over_chunks_that_never_had_a_row():
    assert joined_runs([(1, 2), (3, 3), (7, 9), (5, 5)], lambda chunk: chunk == 4) == [(1, 5), (7, 9)]


# attacks


def tampered(lake: Lake) -> None:
    lake.fill(rows(8))
    lake.fill(rows(8, paths=(SHORT,)))
    lake.expire(DAYS.get)
    assert lake.verdict().faults == []


@pytest.mark.parametrize("name", ["000000000000.zst", "whole.zst"])
@pytest.mark.parametrize("change", ["gone", "body", "statement", "signature", "another"])
def test_tombstones_that_are_gone_or_not_the_signers_do_not_count(lake: Lake, name: str, change: str) -> None:
    tampered(lake)
    file = lake.folder / "expired" / name
    line, _, body = file.read_bytes().partition(b"\n")
    head = orjson.loads(line)
    if change == "gone":
        file.unlink()
    elif change == "another":
        (other,) = {"000000000000.zst", "whole.zst"} - {name}
        file.write_bytes(file.with_name(other).read_bytes())
    else:
        if change == "body":
            body = body[:-1] + bytes([body[-1] ^ 1])
        elif change == "signature":
            head["signature"] = "00" * 64
        else:
            head["statement"]["expired"] = "000000000001"
        file.write_bytes(orjson.dumps(head) + b"\n" + body)
    faults = lake.verdict().faults
    assert any("the receipt says" in fault for fault in faults)
    assert change == "gone" or any("that the signer signed" in fault for fault in faults)
    if change != "gone":
        lake.fill(rows(8))
        with pytest.raises(ConflictError):
            lake.expire(DAYS.get)


def test_rows_that_left_without_tombstones_are_missed(lake: Lake) -> None:
    tampered(lake)
    table = lake.table()
    table.replace(table.live()[:1], [])
    assert any("the receipt says" in fault for fault in lake.verdict().faults)


def test_tombstones_hide_no_change_of_a_row_that_stays_nor_one_made_before_it_expired(lake: Lake) -> None:
    lake.fill(rows(8, paths=(SHORT,)))
    lake.fill(rows(8))
    for file in (lake.folder / "samples").rglob("*.parquet"):
        columns = pq.ParquetFile(file).read()
        changed = pa.array([None if value is None else value + 100 for value in columns["value"].to_pylist()])
        pq.write_table(columns.set_column(columns.schema.get_field_index("value"), "value", changed), file)
    for days in (DAYS, {SHORT: 1, LONG: 1, EVER: 1}):
        lake.expire(days.get)
        wrong = [fault for fault in lake.verdict().faults if "not those the governor signed" in fault]
        assert len(wrong) == 2


def test_a_row_put_into_a_chunk_of_which_all_expired_is_found(lake: Lake) -> None:
    lake.fill(rows(0, paths=(SHORT,)))
    table = lake.table()
    (file,) = table.live()
    forged = table.read(file, ["vehicle", "signal", "provenance"])
    lake.expire({SHORT: 1}.get, TODAY + 2)
    assert lake.verdict().faults == []
    table = lake.table()
    table.commit([table.write(file.partition, forged, "0-1")], "lake/0", 2, {})
    assert any("the receipt says" in fault for fault in lake.verdict().faults)
