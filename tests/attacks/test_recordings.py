"""A recording that wants more than to be read: another tenant's, one that climbs out of its folder, bombs, and one that
names the system's own files."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from carcloud.assembly.importing import importer_of
from carcloud.assembly.recordings import desk_of
from carcloud.assembly.records import open_records
from carcloud.backends.records import Records
from carcloud.backends.records.recordings import RecordedFile, Recording
from carcloud.errors import CarcloudError, InputError, NotAllowedError
from carcloud.lake.query import LakeQuery
from carcloud.lake.query import folder_of as lake_folder_of
from carcloud.lake.recorded import Shown
from carcloud.lake.tables import SCOPES, TIMES, Share
from carcloud.research.manifest import Manifest
from carcloud.research.schemas import SCHEMAS
from carcloud.research.sending import OwnDoor, Source, send
from carcloud.research.store import Store
from carcloud.settings import Folder, Settings
from tests.attacks.conftest import RunningZone
from tests.end_to_end.tenants import made
from tests.research import platoon
from tests.straight_drives import drive

SECRET = "root:x:0:0"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give the folder of a zone that takes recordings in."""
    found = Folder(tmp_path / "data")
    found.make()
    return found


@pytest.fixture
def records(folder: Folder) -> Iterator[Records]:
    with contextlib.closing(open_records(Settings(), folder)) as opened:
        yield opened


def imported(folder: Folder, records: Records, name: str, data: bytes, **said: Any) -> Recording:
    """Send one file as a recording, and return what became of it."""
    path = folder.path.parent / "sent"
    path.write_bytes(data)
    source = Source({name: path})
    manifest = Manifest(source.sizes(), source.sha256(), licence="CC0-1.0", **said)
    sent = send(
        OwnDoor(desk_of(Settings(), folder, records), "default", "machine"), source, manifest, lambda share: None
    )
    return importer_of(Settings(), folder, records, "machine").run("default", sent.id)


def test_recording_of_another_tenant_is_not_there(target: RunningZone) -> None:
    ours, theirs = made(target, ["recorder", "listener"], {})
    data = b"what our car saw"
    manifest = {"files": [{"name": "drive.mcap", "bytes": len(data)}], "sha256": hashlib.sha256(data).hexdigest()}
    clients = [
        httpx.Client(base_url=target.url, headers={"authorization": f"Bearer {car.token}"}, timeout=20, trust_env=False)
        for car in (ours, theirs)
    ]
    with clients[0] as mine, clients[1] as others:
        found = mine.post("/v1/recordings", json=manifest | {"licence": "CC0-1.0"}).json()
        address = f"/v1/recordings/{found['id']}"
        headers = {"x-sha256": hashlib.sha256(data).hexdigest()}
        assert others.get("/v1/recordings").json() == {"recordings": []}
        for answer in (
            others.get(address),
            others.put(f"{address}/parts/1", content=data, headers=headers),
            others.post(f"{address}/done"),
            others.delete(address),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "missing")
        also = others.post("/v1/recordings", json=manifest | {"licence": "CC0-1.0"}).json()
        assert also["id"] != found["id"], "nor do equal bytes tell that they are here already"
        car = others.post("/v1/recordings", json=manifest | {"vehicle": ours.id})
        assert car.status_code == 404
        assert mine.get(address).json()["missing"] == [1]


def test_recording_whose_name_climbs_out_of_its_folder(folder: Folder, records: Records) -> None:
    names = (
        "../keys/zone.key",
        "/etc/cron.d/evil",
        "a/../../b",
        "a\\..\\..\\b",
        "..",
        "a//b",
        "a\0b",
        "a/./b",
        " a",
        "",
    )
    for name in names:
        files = (RecordedFile(name, 4),)
        with pytest.raises(InputError, match="no name of a file"):
            desk_of(Settings(), folder, records).begin(
                "default", Manifest(files, "0" * 64, licence="CC0-1.0"), "machine", datetime.now(UTC)
            )
    assert records.recordings.listed("default") == []


def test_recording_that_unpacks_without_end(folder: Folder, records: Records) -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("drive.xml", bytes(50 << 20))
    found = imported(folder, records, "drive.zip", zipped.getvalue())
    assert (found.state, found.scenarios) == ("refused", 0)
    assert "which format" in found.error
    laughs = "".join(
        f'<!ENTITY l{at} "{"&l" + str(at - 1) + ";" if at else "ha" * 50}{"&l0;" * 9}">' for at in range(9)
    )
    text = drive().replace(b"<commonRoad ", f"<!DOCTYPE commonRoad [{laughs}]><commonRoad ".encode())
    found = imported(folder, records, "drive.xml", text.replace(b"DEU_Test", b"&l8;"))
    assert (found.state, found.scenarios) == ("refused", 0)
    assert Store(folder.lake).scenarios() == []
    assert not [file for file in folder.objects.rglob("*") if file.is_file()]


def test_recording_that_refers_to_the_systems_files(folder: Folder, records: Records) -> None:
    outer = b'<!DOCTYPE commonRoad [<!ENTITY outer SYSTEM "file:///etc/passwd">]><commonRoad '
    text = drive().replace(b"<commonRoad ", outer).replace(b"DEU_Test-1_1_T-1", b"&outer;")
    inner = drive().replace(b"<commonRoad ", outer).replace(b"<type>car</type>", b"<type>&outer;</type>")
    for data in (text, inner):
        found = imported(folder, records, "drive.xml", data)
        assert found.state == "refused"
        assert SECRET not in str(found)
    scenario = (
        b'<?xml version="1.0"?><OpenSCENARIO><FileHeader revMajor="1" revMinor="0" date="2026-01-01T00:00:00" '
        b'description="" author=""/><RoadNetwork><LogicFile filepath="/etc/passwd"/></RoadNetwork><Entities/>'
        b"<Storyboard><Init><Actions/></Init><StopTrigger/></Storyboard></OpenSCENARIO>"
    )
    found = imported(folder, records, "drive.xosc", scenario)
    assert found.state == "refused"
    assert SECRET not in str(found)
    assert Store(folder.lake).scenarios() == []


def test_recording_that_is_code(folder: Folder, records: Records) -> None:
    pickled = b"cos\nsystem\n(S'touch " + str(folder.path / "taken").encode() + b"'\ntR."
    for name, data in (("drive.pkl", pickled), ("drive.xml", pickled), ("drive.csv.gz", gzip.compress(pickled))):
        assert imported(folder, records, name, data).state == "refused"
    assert not (folder.path / "taken").exists()


def test_recordings_asked_by_sql_beyond_ones_reach(tmp_path: Path) -> None:
    for tenant, cars in {"default": 2, "other": 3}.items():
        Store(tmp_path, tenant).add("r1", [platoon(f"secret of {tenant}", cars=cars)])
    (theirs,) = Store(tmp_path, "other").files("scenarios")
    shown = Shown(tmp_path, "default", SCHEMAS)
    asked = LakeQuery(lake_folder_of(tmp_path / "samples", "default"), lambda: (1, []), list, list, recorded=shown)
    partner = Share(TIMES.empty_table(), SCOPES.empty_table())
    for name in SCHEMAS:
        for sql in (f"FROM {name}", f"SUMMARIZE {name}", f"SELECT (SELECT count(*) FROM {name})"):
            with pytest.raises(NotAllowedError):
                asked.run(sql, share=partner)
    for sql in (
        f"FROM '{theirs}'",
        f"FROM read_parquet('{theirs}')",
        f"FROM read_blob('{theirs}')",
        "FROM sniff_csv('x')",
    ):
        with pytest.raises(NotAllowedError):
            asked.run(sql)
    for sql in (
        "FROM scenarios",
        "FROM information_schema.columns",
        "SELECT error(name) FROM scenarios",
        "SHOW TABLES",
    ):
        try:
            said = str(asked.run(sql).table.to_pylist())
        except CarcloudError as refused:
            said = str(refused)
        assert "secret of other" not in said
        assert str(tmp_path) not in said
    asked.close()
