import errno
import json
import os
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from carcloud.backends.records import Records
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.gateway.enrolment import Endpoints, enrol, enrol_into, renew, renew_into, revoke, write_credentials
from carcloud.safety.identity import Authority, vehicle_identity

VIN = "WBA00000000000001"


def test_enrolled_car_is_recorded_with_its_certificate(
    records: Records, authority: Authority, endpoints: Endpoints
) -> None:
    enrolment = enrol(records, authority, VIN.lower(), endpoints, label="red")
    assert records.vehicle_by_vin(VIN) == records.vehicle_by_label("red") == enrolment.vehicle
    certificate = records.certificate(enrolment.credentials.serial)
    assert certificate.vehicle == enrolment.vehicle.id
    assert certificate.not_after == enrolment.credentials.not_after


def test_vin_enrolled_again_conflicts_and_says_what_to_do(
    records: Records, authority: Authority, endpoints: Endpoints
) -> None:
    enrol(records, authority, VIN, endpoints)
    with pytest.raises(ConflictError, match=r"carcloud revoke VEHICLE.*or give another"):
        enrol(records, authority, VIN, endpoints)


def test_revoked_car_is_enrolled_again_under_a_new_id(
    records: Records, authority: Authority, endpoints: Endpoints
) -> None:
    first = enrol(records, authority, VIN, endpoints)
    assert revoke(records, first.vehicle.id).state == "revoked"
    assert records.certificate(first.credentials.serial).revoked_at is not None
    assert enrol(records, authority, VIN, endpoints).vehicle.id != first.vehicle.id


def test_renewed_car_keeps_its_id_and_its_older_certificate_holds(
    records: Records, authority: Authority, endpoints: Endpoints
) -> None:
    first = enrol(records, authority, VIN, endpoints)
    second = renew(records, authority, first.vehicle.id, endpoints)
    assert second.vehicle == first.vehicle
    assert {each.serial for each in records.certificates(first.vehicle.id)} == {
        first.credentials.serial,
        second.credentials.serial,
    }
    assert first.credentials.key != second.credentials.key


def test_revoked_or_unknown_car_is_not_renewed(records: Records, authority: Authority, endpoints: Endpoints) -> None:
    enrolment = enrol(records, authority, VIN, endpoints)
    revoke(records, enrolment.vehicle.id)
    with pytest.raises(ConflictError, match="Enrol the car again"):
        renew(records, authority, enrolment.vehicle.id, endpoints)
    with pytest.raises(MissingError):
        renew(records, authority, "nobody", endpoints)


@pytest.mark.parametrize("wrong", [{"label": ""}, {"label": "a\nb"}, {"label": "x" * 65}, {"tenant": "a.b"}])
def test_label_or_tenant_that_is_none_is_refused(
    records: Records, authority: Authority, endpoints: Endpoints, wrong: dict[str, str]
) -> None:
    with pytest.raises(InputError, match="Use 1 to 64"):
        enrol(records, authority, VIN, endpoints, **wrong)
    assert records.count_vehicles() == 0


def test_credentials_folder_holds_all_a_car_needs(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path
) -> None:
    enrolment = enrol(records, authority, VIN, endpoints)
    folder = tmp_path / "car"
    write_credentials(enrolment, folder)
    assert json.loads((folder / "vehicle.json").read_text()) == {
        "id": enrolment.vehicle.id,
        "tenant": "default",
        "mqtt": {"host": "cloud.example", "port": 8883},
        "https": {"url": "https://cloud.example:8443"},
    }
    leaf, _ = x509.load_pem_x509_certificates((folder / "vehicle.pem").read_bytes())
    key = serialization.load_pem_private_key((folder / "vehicle.key").read_bytes(), None)
    assert vehicle_identity(leaf).vehicle == enrolment.vehicle.id
    assert key.public_key() == leaf.public_key()
    assert len(x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())) == 2
    assert stat.S_IMODE((folder / "vehicle.key").stat().st_mode) == 0o600


def test_zone_keeps_no_vehicles_key(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path
) -> None:
    key = enrol(records, authority, VIN, endpoints).credentials.key
    body = key.splitlines()[1]
    assert all(body not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_credentials_of_another_car_are_not_overwritten(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path
) -> None:
    first = enrol(records, authority, VIN, endpoints)
    write_credentials(first, tmp_path / "car")
    other = enrol(records, authority, VIN[:-1] + "2", endpoints)
    with pytest.raises(ConflictError, match="Give another folder"):
        write_credentials(other, tmp_path / "car")
    write_credentials(renew(records, authority, first.vehicle.id, endpoints), tmp_path / "car")


def test_car_whose_credentials_cannot_be_written_is_not_recorded(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written into .*Give another folder, or make room"):
        enrol_into(lambda _: tmp_path / "file" / "car", records, authority, VIN, endpoints)
    assert records.count_vehicles() == 0
    enrolment, folder = enrol_into(lambda id_: tmp_path / id_, records, authority, VIN, endpoints)
    assert folder.name == records.vehicle_by_vin(VIN).id == enrolment.vehicle.id


def test_full_disk_leaves_no_car_and_no_file(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment, folder = enrol_into(lambda _: tmp_path / "car", records, authority, VIN, endpoints)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    written = iter([None, None, OSError(errno.ENOSPC, "No space left on device")])

    def full(_: int) -> None:
        if error := next(written):
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            write_credentials(enrolment, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_refused_car_leaves_no_credentials_behind(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path
) -> None:
    enrol(records, authority, VIN, endpoints)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for name in ("car", "mine"):
        with pytest.raises(ConflictError, match="enrolled already"):
            enrol_into(lambda _, name=name: tmp_path / name, records, authority, VIN, endpoints)
    assert not (tmp_path / "car").exists()
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_renewed_credentials_take_the_place_of_the_older(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path
) -> None:
    first, folder = enrol_into(lambda _: tmp_path / "car", records, authority, VIN, endpoints)
    renewed = renew_into(folder, records, authority, first.vehicle.id, endpoints)
    assert (folder / "vehicle.pem").read_bytes() == renewed.credentials.chain
    assert records.certificate(renewed.credentials.serial).vehicle == first.vehicle.id


@pytest.mark.parametrize("card", ['{"id": "other"}', "{}", "[]", "nonsense"])
def test_renewal_into_another_cars_folder_is_refused_before_anything_is_issued(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path, card: str
) -> None:
    vehicle = enrol(records, authority, VIN, endpoints).vehicle.id
    (tmp_path / "vehicle.json").write_text(card)
    with pytest.raises(ConflictError, match="another car's"):
        renew_into(tmp_path, records, authority, vehicle, endpoints)
    assert len(records.certificates(vehicle)) == 1
