"""Rows and receipts that the governor never signed: by hand in the lake, by a stolen password in the stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nats.errors
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction
from nats.aio.client import Client

from carcloud.backends.delta import Table
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.lake.rows import PARTITIONS, SCHEMA
from carcloud.lake.verify import verify_lake
from carcloud.safety.signer import Verifier
from carcloud.safety.signer import statement as signed_statement
from carcloud.stream import subjects
from carcloud.stream.chunk import Chunk, content, decode, encode, encoded_rows
from carcloud.stream.digest_keys import StoredKeys
from carcloud.stream.receipts import root, statement
from tests.attacks.attacker import Car, sample, seen, until_seen
from tests.attacks.conftest import enrolled
from tests.stream import FixedKeys
from tests.zone import RunningZone, carcloud, until


def driven(zone: RunningZone, speed: float) -> str:
    """Let a new car say something, and wait until it stands in the lake; return its id."""
    with Car(zone, enrolled(zone)) as own:
        own.say(sample(speed))
        until(lambda: zone.sql("SELECT 1 FROM samples WHERE vehicle = $v", v=own.id), "not in the lake", 20)
    return own.id


def verified(data: Path) -> tuple[bool, str]:
    receipts, tombstones = (Verifier(data / "keys", kind) for kind in ("receipt", "erasure"))
    with contextlib.closing(Records.open(f"sqlite:///{data / 'records.sqlite'}")) as records:
        verdict = verify_lake(data / "lake", receipts, tombstones, lambda: StoredKeys(records))
    return not verdict.faults, "\n".join(verdict.faults)


def add_a_row(table: DeltaTable) -> None:
    row = table.to_pyarrow_table().slice(0, 1)
    at = row.schema.get_field_index("value")
    write_deltalake(table, row.set_column(at, "value", pa.array([199.0])), mode="append")


def add_a_row_of_no_chunk(table: DeltaTable) -> None:
    row = table.to_pyarrow_table().slice(0, 1)
    at = row.schema.get_field_index("chunk")
    write_deltalake(table, row.set_column(at, "chunk", pa.array([987654], pa.int64())), mode="append")


def delete_a_row(table: DeltaTable) -> None:
    table.delete("value = 51")


def change_a_value(table: DeltaTable) -> None:
    table.update(updates={"value": "199.0"}, predicate="value = 51")


def change_a_file(table: DeltaTable) -> None:
    file = Path(table.file_uris()[0].removeprefix("file://"))
    rows = pq.ParquetFile(file).read()
    at = rows.schema.get_field_index("value")
    pq.write_table(rows.set_column(at, "value", pa.array([1.0] * len(rows))), file)


def move_a_file_to_another_tenant(table: DeltaTable) -> None:
    """Put a file as it is into another tenant's folder, and say so in the table's log."""
    lake = Table(Path(table.table_uri.removeprefix("file://")), SCHEMA, PARTITIONS)
    file = lake.live()[0]
    name = file.name.replace("tenant=default", "tenant=rival")
    (lake.path / name).parent.mkdir(parents=True)
    (lake.path / file.name).rename(lake.path / name)
    filed: dict[str, str | None] = {"tenant": "rival", "day": file.partition[1]}
    lake.replace([file], [AddAction(name, file.bytes, filed, 0, True, json.dumps({"numRecords": file.rows}))])


@pytest.fixture(scope="module")
def copied(victim: RunningZone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of a lake in which three cars' rows stand, and that verifies."""
    for speed in (51, 52, 53):
        driven(victim, speed)
    found = carcloud("verify", "lake", "--data", str(victim.data))
    assert found.returncode == 0, found.stdout + found.stderr
    place = tmp_path_factory.mktemp("copy") / "data"
    shutil.copytree(victim.folder.lake, place / "lake")
    shutil.copytree(victim.folder.keys, place / "keys")
    return place


@pytest.mark.parametrize(
    "attack",
    [add_a_row, add_a_row_of_no_chunk, delete_a_row, change_a_value, change_a_file, move_a_file_to_another_tenant],
    ids=lambda f: f.__name__,
)
def test_a43_lake_changed_by_hand_is_found(copied: Path, tmp_path: Path, attack: Callable[[DeltaTable], None]) -> None:
    data = tmp_path / "data"
    shutil.copytree(copied, data)
    attack(DeltaTable(str(data / "lake" / "samples")))
    good, said = verified(data)
    assert not good, said
    assert ("tenant=rival" in said) == (attack is move_a_file_to_another_tenant)


def test_a44_receipt_changed_by_hand_is_found(copied: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(copied, data)
    file = next((data / "lake" / "receipts").glob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b'"kept":1', b'"kept":2', 1))
    assert not verified(data)[0]
    file.unlink()
    assert not verified(data)[0]


def test_a43_without_the_passwords_the_bus_says_nothing(victim: RunningZone) -> None:
    async def knock(**options: str) -> None:
        client = Client()
        try:
            await client.connect(
                f"nats://127.0.0.1:{victim.file.nats}", allow_reconnect=False, connect_timeout=8, **options
            )  # type: ignore[arg-type]
        finally:
            await client.close()

    async def silent(_: Exception) -> None:
        """The refusal is what the test asks for."""

    for options in ({}, {"user": "cloud", "password": "cloud"}, {"user": "cloud"}, {"token": victim.token}):
        with pytest.raises((nats.errors.Error, OSError)):
            asyncio.run(knock(**options, error_cb=silent))  # type: ignore[arg-type]


def test_a43_password_of_the_cars_account_does_not_reach_the_governed_stream(victim: RunningZone) -> None:
    async def write() -> None:
        bus = await Bus.connect(victim.file.bus("vehicles"), "thief")
        try:
            assert await bus.last(subjects.GOVERNED, subjects.governed(0)) is None
        finally:
            await bus.close()

    with pytest.raises(Exception, match=r"does not answer|away"):
        asyncio.run(write())


def signed_with_another_key(true: Chunk) -> bytes:
    """Return a chunk with all that a genuine one has, but the governor's key."""
    rows, number = true.rows.set_column(3, "value", pa.array([199.0] * true.rows.num_rows)), true.record.number + 1
    record = replace(true.record, number=number)
    said = {
        "chunk": number,
        "root": root(rows, record.tenants, number, FixedKeys()).hex(),
        "content": content(record, encoded_rows(rows)),
    }
    fields = true.record.receipt["statement"] | said
    signature = Ed25519PrivateKey.generate().sign(signed_statement("receipt", statement(fields))).hex()
    record.receipt = true.record.receipt | {"statement": fields, "signature": signature}
    return encode(Chunk(record, rows))


def without_a_receipt(true: Chunk) -> bytes:
    return encode(Chunk(replace(true.record, number=true.record.number + 1, receipt={}), true.rows))


def renumbered(true: Chunk) -> bytes:
    return encode(Chunk(replace(true.record, number=true.record.number + 1), true.rows))


def with_a_changed_value(true: Chunk) -> bytes:
    rows = true.rows.set_column(3, "value", pa.array([199.0] * true.rows.num_rows))
    return encode(Chunk(replace(true.record, number=true.record.number + 1), rows))


def with_other_marks(true: Chunk) -> bytes:
    """Return a chunk that would make the governor take a car's next thousand batches for duplicates."""
    marks = [(vehicle, queue, number + 1000) for vehicle, queue, number in true.record.marks]
    return encode(Chunk(replace(true.record, number=true.record.number + 1, marks=marks), true.rows))


def written_once_more(true: Chunk) -> bytes:
    return encode(true)


def no_chunk(_: Chunk) -> bytes:
    return b"no chunk"


FORGERIES = [
    signed_with_another_key,
    without_a_receipt,
    renumbered,
    with_a_changed_value,
    with_other_marks,
    written_once_more,
    no_chunk,
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.__name__)
def test_a44_chunk_with_a_forged_receipt_is_found(victim: RunningZone, forgery: Callable[[Chunk], bytes]) -> None:
    """With the cloud's own password one can write GOVERNED, but not sign: no fold takes it in, and it is taken out."""
    car = driven(victim, 54)
    kept = victim.folder.stream / "forged"
    before = len(list(kept.glob("*")))

    async def forge() -> None:
        bus = await Bus.connect(victim.file.bus("cloud"), "thief")
        last = await bus.last(subjects.GOVERNED, subjects.governed(0))
        assert last is not None
        await bus.append(subjects.governed(0), forgery(decode(last.data)), expected_last=last.sequence)
        await bus.publish(f"{subjects.CHUNK}.0", b"1")  # wake who follows
        await bus.close()

    asyncio.run(forge())
    until(lambda: len(list(kept.glob("*"))) == before + 1, "the chunk was not taken out and kept", 30)
    until(lambda: "forged_chunk" in [alarm["code"] for alarm in victim.alarms()], "no alarm", 20)
    with Car(victim, enrolled(victim)) as own:
        own.say(sample(55))
        until_seen(victim, own.id, 55, patience_s=30)  # the governor goes on, and so does the twin
    until(lambda: victim.sql("SELECT 1 FROM samples WHERE vehicle = $v", v=own.id), "the lake stopped", 30)
    assert seen(victim, car) == {"Vehicle.Speed": 54}
    assert victim.sql("SELECT count(*) FROM samples WHERE vehicle = $v", v=car) == [[1]]
    assert victim.sql("SELECT count(*) FROM samples WHERE value = 199") == [[0]]
    good, said = verified(victim.data)
    assert good, said
