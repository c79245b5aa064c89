"""A lake on real files, with a signer's keys, for tests of what leaves it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path

import deltalake
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from carcloud.backends.delta import LiveFile, Table
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.lake.eraser import Eraser
from carcloud.lake.expiring import Expiring
from carcloud.lake.retention import Pass, Retention
from carcloud.lake.rows import PARTITIONS, SCHEMA
from carcloud.lake.settings import LakeSettings
from carcloud.lake.verify import Verdict, verify_lake
from carcloud.lake.writer import LakeWriter
from carcloud.safety.governance.days import DaysOf, day_number
from carcloud.safety.governance.policy import Policy
from carcloud.safety.signer import Signature, Signer, Verifier
from carcloud.stream.digest_keys import StoredKeys
from tests.stream import DAY_US, NOW_US, POLICY, Row, chunk

TODAY = NOW_US // DAY_US


class Lake:
    """A lake in a folder. Rows come by `fill`; `expire`, `erase` and `compact` do what the lake's process does."""

    def __init__(self, folder: Path, window_rows: int = 30) -> None:
        self.folder, self.keys = folder / "lake", folder / "keys"
        self.folder.mkdir()
        self.records, self.signer = Records.open(f"sqlite:///{folder}/records.db"), Signer(self.keys, folder / "run")
        settings, receipt, buried = (
            LakeSettings(window_rows=window_rows),
            self.signed("receipt"),
            self.signed("erasure"),
        )
        self.writer = LakeWriter(
            Bus(), self.records, self.folder, settings, receipt, self.sign, buried, lambda: POLICY, 0.0
        )
        self.last = self._erasures = 0

    def fill(self, rows: Iterable[Row] = (), tenants: dict[str, list[str]] | None = None) -> None:
        """Commit one chunk more."""
        self.last += 1
        self.writer._commit([chunk(self.last, list(rows), signer=self.signer, tenants=tenants, records=self.records)])

    def sign(self, said: bytes) -> Signature:
        """Sign tombstones."""
        answer = self.signer.answer(b"\x07erasure" + said)
        return Signature(answer[1:17].decode(), answer[17:])

    def signed(self, kind: str) -> Verifier:
        """Return what tells of a signature of this kind."""
        return Verifier(self.keys, kind)  # type: ignore[arg-type]

    def keys_of(self) -> StoredKeys:
        """Return the keys of digests, read anew."""
        return StoredKeys(self.records)

    def table(self) -> Table:
        """Open the table anew."""
        return Table(self.folder / "samples", SCHEMA, PARTITIONS)

    def retention(self) -> Retention:
        """Return what lets rows expire, as after a start."""
        return Retention(self.folder, self.sign, self.signed("erasure"), self.signed("receipt"), self.keys_of)

    def expire(self, days_of: DaysOf, today: int = TODAY) -> Pass:
        """Let rows expire; the replaced files go."""
        retention, table = self.retention(), self.table()
        done = retention.expire(table, days_of, today)
        table.delete([step.file for step in done.steps])
        retention.finish()
        return done

    def expiring(self, policy: Policy) -> Expiring:
        """Return what lets rows expire under a governance, and notes it."""
        return Expiring(self.records, self.retention(), lambda: policy, self.table, threading.Lock(), 0.0, self.folder)

    def erase(self, vehicle: str) -> dict[str, int]:
        """Erase a car."""
        self._erasures += 1
        signed = self.signed("erasure")
        eraser = Eraser(self.table(), self.folder / "erased", self.sign, signed, 0.0, self.keys_of())
        return eraser.erase(f"e{self._erasures}", vehicle)

    def verdict(self) -> Verdict:
        """Check the whole lake."""
        return verify_lake(self.folder, self.signed("receipt"), self.signed("erasure"), self.keys_of)

    def move(self, file: LiveFile, tenant: str) -> str:
        """Put a file, as it is, into another tenant's folder, in the table's log too; return its new name."""
        table, (old, day) = self.table(), file.partition
        name = file.name.replace(f"tenant={old}", f"tenant={tenant}")
        (table.path / name).parent.mkdir(parents=True, exist_ok=True)
        (table.path / file.name).rename(table.path / name)
        stated = json.dumps({"numRecords": file.rows})
        filed: dict[str, str | None] = {"tenant": tenant, "day": day}
        table.replace([file], [AddAction(name, file.bytes, filed, 0, True, stated)])
        return name

    def rows(self) -> list[tuple[str, str, int]]:
        """Return (vehicle, signal, day since 1970) of each row."""
        rows = deltalake.DeltaTable(self.folder / "samples").to_pyarrow_table().to_pylist()
        return sorted((row["vehicle"], row["signal"], day_number(row["day"])) for row in rows)

    def unpacked(self) -> str:
        """Return all that lies in the folder as text: files as they are, Parquet files row by row."""
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        raw = "".join(file.read_bytes().decode("latin-1") for file in files)
        return raw + "".join(str(pq.read_table(file).to_pylist()) for file in files if file.suffix == ".parquet")
