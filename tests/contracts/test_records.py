import contextlib
import itertools
import multiprocessing
import sqlite3
import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from carcloud.backends.records import Certificate, Entry, QuarantineEntry, Records, Vehicle, quarantine_id
from carcloud.errors import ConflictError, InputError, MissingError, TryLaterError

AT = datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC)
CAR = Vehicle("a" * 16, "default", "WBA00000000000001", "red", "active", AT)
OTHER = Vehicle("b" * 16, "default", "WBA00000000000002", None, "active", AT)
LEAF = Certificate("1f", CAR.id, AT, AT + timedelta(days=30))


def entry(payload: bytes, at: datetime = AT, cause: str = "bad_body") -> QuarantineEntry:
    return QuarantineEntry(
        quarantine_id(CAR.id, cause, payload), at, CAR.id, cause, "cut short", len(payload), b"sealed" + payload
    )


def write_many(url: str, first: int) -> None:
    records = Records.open(url)
    for number in range(first, first + 20):
        records.add_vehicle(replace(OTHER, id=f"{number:016}", vin=f"{number:017}"))
    records.close()


def write_until_killed(url: str, recorded: Connection) -> None:
    records = Records.open(url)
    for number in itertools.count():
        records.add_vehicle(replace(OTHER, id=f"{number:016}", vin=f"{number:017}"))
        recorded.send(f"{number:016}")


class TestRecords:
    def test_vehicle_is_found_by_id_label_and_vin_as_it_was_added(self, records: Records) -> None:
        records.add_vehicle(CAR)
        assert records.vehicle(CAR.id) == CAR
        assert records.vehicle_by_label("red") == CAR
        assert records.vehicle_by_vin(CAR.vin) == CAR

    def test_vehicle_that_is_not_there_is_missing(self, records: Records) -> None:
        for question in (records.vehicle, records.vehicle_by_label, records.vehicle_by_vin):
            with pytest.raises(MissingError, match="carcloud vehicles"):
                question("nobody")

    def test_second_vehicle_with_the_same_vin_label_or_id_conflicts(self, records: Records) -> None:
        records.add_vehicle(CAR)
        for same in ({"vin": CAR.vin}, {"label": CAR.label}, {"id": CAR.id}):
            with pytest.raises(ConflictError, match="Revoke that one first"):
                records.add_vehicle(replace(OTHER, **same))
        assert records.vehicles() == [CAR]

    def test_vehicles_without_a_label_do_not_conflict(self, records: Records) -> None:
        records.add_vehicle(replace(CAR, label=None))
        records.add_vehicle(OTHER)
        assert records.count_vehicles() == 2

    def test_same_vin_may_be_enrolled_by_another_tenant(self, records: Records) -> None:
        records.add_vehicle(CAR)
        records.add_vehicle(replace(CAR, id="c" * 16, tenant="other"))
        assert records.vehicle_by_vin(CAR.vin, "other").id == "c" * 16

    def test_vehicles_are_listed_page_by_page_and_by_state(self, records: Records) -> None:
        for number in range(5):
            records.add_vehicle(replace(OTHER, id=f"v{number}", vin=f"{number:017}"))
        records.life.change("v3", "revoke", AT)
        assert [vehicle.id for vehicle in records.vehicles(2)] == ["v0", "v1"]
        assert [vehicle.id for vehicle in records.vehicles(9, after="v1", state="active")] == ["v2", "v4"]
        assert records.count_vehicles("revoked") == 1

    def test_revoking_a_vehicle_revokes_its_certificates_and_frees_its_vin(self, records: Records) -> None:
        records.add_vehicle(CAR, LEAF)
        revoked = records.life.change(CAR.id, "revoke", AT + timedelta(hours=1))
        assert revoked.state == "revoked"
        assert records.certificate("1f").revoked_at == AT + timedelta(hours=1)
        assert records.life.change(CAR.id, "revoke", AT + timedelta(hours=2)) == revoked
        assert records.certificate("1f").revoked_at == AT + timedelta(hours=1)
        with pytest.raises(MissingError):
            records.vehicle_by_vin(CAR.vin)
        records.add_vehicle(replace(CAR, id="c" * 16))
        assert records.vehicle_by_vin(CAR.vin).id == "c" * 16

    def test_revoking_a_stranger_is_missing(self, records: Records) -> None:
        with pytest.raises(MissingError):
            records.life.change("nobody", "revoke", AT)

    def test_certificate_is_kept_once_and_only_for_an_enrolled_vehicle(self, records: Records) -> None:
        with pytest.raises(MissingError):
            records.add_certificate(LEAF)
        records.add_vehicle(CAR, LEAF)
        with pytest.raises(ConflictError, match="recorded already"):
            records.add_certificate(LEAF)
        newer = replace(LEAF, serial="2f", issued_at=AT + timedelta(days=1))
        records.add_certificate(newer)
        assert records.certificate("2f") == newer
        assert records.certificates(CAR.id) == [newer, LEAF]
        with pytest.raises(MissingError):
            records.certificate("3f")

    def test_vehicle_whose_certificate_conflicts_is_not_added(self, records: Records) -> None:
        records.add_vehicle(CAR, LEAF)
        with pytest.raises(ConflictError):
            records.add_vehicle(OTHER, replace(LEAF, vehicle=OTHER.id))
        with pytest.raises(MissingError):
            records.vehicle(OTHER.id)

    def test_same_payload_is_quarantined_once(self, records: Records) -> None:
        records.put_quarantine([entry(b"x"), entry(b"x"), entry(b"y", AT + timedelta(seconds=1))])
        records.put_quarantine([replace(entry(b"x"), detail="again")])
        records.put_quarantine([])
        listed = records.quarantine_entries()
        assert [(kept.detail, kept.sealed) for kept in listed] == [("cut short", None)] * 2
        assert listed[0].at == AT + timedelta(seconds=1)
        assert records.quarantine_entry(listed[1].id) == entry(b"x")

    def test_quarantine_is_listed_by_cause_and_up_to_a_limit(self, records: Records) -> None:
        records.put_quarantine([entry(b"%d" % n, AT + timedelta(seconds=n)) for n in range(5)])
        records.put_quarantine([entry(b"z", cause="empty")])
        assert [kept.cause for kept in records.quarantine_entries(cause="empty")] == ["empty"]
        assert len(records.quarantine_entries(limit=3)) == 3
        with pytest.raises(MissingError):
            records.quarantine_entry("0" * 64)

    def test_detail_with_bytes_no_database_takes_is_kept_readable(self, records: Records) -> None:
        records.put_quarantine([replace(entry(b"x"), detail="a\x00b\ud800c")])
        assert records.quarantine_entries()[0].detail == "a\ufffdb?c"

    def test_quarantine_forgets_what_is_older_than_seven_days(self, records: Records) -> None:
        records.put_quarantine([entry(b"old"), entry(b"new", AT + timedelta(days=1))])
        assert records.trim_quarantine(AT + timedelta(days=7, seconds=1)) == 1
        assert [kept.id for kept in records.quarantine_entries()] == [entry(b"new").id]

    def test_quarantine_over_its_size_forgets_the_oldest(self, records: Records) -> None:
        records.put_quarantine([entry(bytes([n]) * 1000, AT + timedelta(seconds=n)) for n in range(10)])
        assert records.trim_quarantine(AT, limit_bytes=4 * (1000 + 512)) == 6
        assert [kept.at.second for kept in records.quarantine_entries()] == [9, 8, 7, 6]

    def test_id_tables_are_kept_under_their_hash(self, records: Records) -> None:
        records.put_table("0a", '{"signals":[["Vehicle.Speed","km/h"]]}')
        records.put_table("0a", "ignored: the hash names the content")
        assert records.table("0a") == '{"signals":[["Vehicle.Speed","km/h"]]}'
        assert records.table("0b") is None
        assert list(records.tables()) == ["0a"]

    def test_positions_and_settings_are_overwritten(self, records: Records) -> None:
        records.set_position("lake", 0, 7)
        records.set_position("lake", 0, 2**62)
        records.set_position("twin", 0, 1)
        assert records.positions() == {("lake", 0): 2**62, ("twin", 0): 1}
        records.put_meta("zone", "one")
        records.put_meta("zone", "two")
        assert records.get_meta("zone") == "two"
        assert records.get_meta("nothing") is None

    def test_fold_that_is_no_more_has_no_position(self, records: Records) -> None:
        records.set_position("relay", 0, 7)
        records.set_position("lake", 0, 9)
        records.forget_position("relay")
        assert records.positions() == {("lake", 0): 9}

    def test_what_was_recorded_is_there_after_reopening(self, records: Records, url: str) -> None:
        records.add_vehicle(CAR, LEAF)
        again = Records.open(url)
        assert again.vehicle(CAR.id) == CAR
        again.close()

    def test_records_of_a_newer_schema_are_refused(self, records: Records, url: str) -> None:
        with records.transaction(writing=True) as db:
            db.exec_driver_sql("UPDATE schema_version SET version = 99")
        with pytest.raises(ConflictError, match=r"schema 99.*Update carcloud"):
            Records.open(url)

    def test_records_of_an_older_schema_get_the_tables_they_lack(self, records: Records, url: str) -> None:
        records.add_vehicle(CAR, LEAF)
        with records.transaction(writing=True) as db:
            db.exec_driver_sql("DROP TABLE audit_pending")
            db.exec_driver_sql("UPDATE schema_version SET version = 1")
        again = Records.open(url)
        again.audit.add(Entry("machine", "revokeVehicle", f"vehicle:{CAR.id}"))
        assert again.vehicle(CAR.id) == CAR
        again.close()
        Records.open(url).close()

    def test_act_and_its_entry_are_kept_together_or_not_at_all(self, records: Records) -> None:
        def waiting() -> int:
            with records.transaction() as db:
                return int(db.exec_driver_sql("SELECT count(*) FROM audit_pending").scalar_one())

        noted = Entry("person:a", "revokeVehicle", f"vehicle:{CAR.id}", facts={"n": 1}, details={"why": "sold"})

        def fail() -> None:
            with records.transaction(writing=True) as db:
                records.audit.note(db, noted)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert waiting() == 0
        records.audit.add(noted, noted)
        assert waiting() == 2

    def test_many_threads_write_at_once(self, records: Records) -> None:
        def write(first: int) -> None:
            for number in range(first, first + 10):
                records.set_position("fold", number, number)

        threads = [threading.Thread(target=write, args=(10 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(records.positions()) == 80

    def test_many_processes_create_and_write_the_same_records_at_once(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=write_many, args=(url, 100 * n)) for n in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 4
        records = Records.open(url)
        assert records.count_vehicles() == 80
        records.close()

    def test_what_was_recorded_survives_a_killed_writer(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=write_until_killed, args=(url, theirs))
        process.start()
        recorded = {ours.recv() for _ in range(30)}
        process.kill()
        process.join()
        theirs.close()
        with contextlib.suppress(EOFError):
            while ours.poll():
                recorded.add(ours.recv())
        records = Records.open(url)
        assert recorded <= {vehicle.id for vehicle in records.vehicles(10_000)}
        records.close()


class TestSqliteRecords:
    def test_file_is_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        Records.open(f"sqlite:///{tmp_path}/records.db").add_vehicle(CAR)
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_locked_database_asks_to_try_later(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("carcloud.backends.records.database.BUSY_TIMEOUT_S", 0.1)
        records = Records.open(f"sqlite:///{tmp_path}/records.db")
        holder = sqlite3.connect(tmp_path / "records.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(TryLaterError, match="locked"):
            records.put_meta("a", "b")
        assert records.get_meta("a") is None
        holder.execute("ROLLBACK")
        records.put_meta("a", "b")
        holder.close()

    def test_file_that_holds_no_records_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("not a database " * 100)
        with pytest.raises(InputError, match="not a database"):
            Records.open(f"sqlite:///{tmp_path}/notes.txt")

    def test_folder_that_does_not_exist_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="nowhere"):
            Records.open(f"sqlite:///{tmp_path}/nowhere/records.db")


class TestPostgresqlRecords:
    def test_connections_the_server_dropped_are_opened_again(self, postgresql: str) -> None:
        records = Records.open(postgresql)
        records.put_meta("a", "b")
        engine = create_engine(make_url(postgresql).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as db:
            mine = "pid <> pg_backend_pid() AND datname = current_database()"
            db.exec_driver_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")
        engine.dispose()
        assert records.get_meta("a") == "b"
        records.close()


class TestUrls:
    @pytest.mark.parametrize("url", ["", "sqlite://", "mysql://host/name", "records.db"])
    def test_url_of_no_known_database_says_which_are(self, url: str) -> None:
        with pytest.raises(InputError, match="sqlite:////absolute"):
            Records.open(url)

    def test_server_that_is_away_asks_to_try_later(self) -> None:
        with pytest.raises(TryLaterError, match="cannot be reached"):
            Records.open("postgresql://nobody@127.0.0.1:9/none")
