"""Objects, on both backends: a local folder, and S3 by a server that speaks it over real HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from carcloud.backends.objects import Objects, ObjectSettings
from carcloud.backends.objects_files import FileObjects
from carcloud.backends.objects_s3 import S3Objects
from carcloud.errors import InputError, MissingError, TryLaterError

KEY = "default/recordings/a1"
FIRST, SECOND, THIRD = bytes(range(256)) * 4096, b"second" * 1000, b"third"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A server that speaks S3, with one bucket; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    httpx.put(f"{address}/recorded", trust_env=False).raise_for_status()
    yield address
    server.stop()


@pytest.fixture(params=["files", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    if request.param == "files":
        return FileObjects(tmp_path / "objects")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    address = request.getfixturevalue("s3")
    httpx.post(f"{address}/moto-api/reset", trust_env=False)
    httpx.put(f"{address}/recorded", trust_env=False).raise_for_status()
    return S3Objects(ObjectSettings("s3://recorded/zone", address, "us-east-1"))


def whole(objects: Objects, begin: int = 0, end: int | None = None) -> bytes:
    return b"".join(objects.read(KEY, begin, end))


def test_parts_in_any_order_become_the_object(objects: Objects, tmp_path: Path) -> None:
    for number, part in ((3, THIRD), (1, b"wrong"), (2, SECOND), (1, FIRST)):
        objects.put_part(KEY, number, part)
    assert objects.parts(KEY) == {1: len(FIRST), 2: len(SECOND), 3: len(THIRD)}
    assert objects.size(KEY) is None
    every = FIRST + SECOND + THIRD
    for _ in range(2):
        assert objects.join(KEY) == hashlib.sha256(every).hexdigest(), "an interrupted join is repeated"
    objects.drop_parts(KEY)
    assert objects.parts(KEY) == {}
    assert objects.size(KEY) == len(every)
    assert whole(objects) == every
    assert whole(objects, len(FIRST), len(FIRST) + len(SECOND)) == SECOND
    assert whole(objects, 5, 5) == b""
    objects.fetch(KEY, 0, len(every), tmp_path / "all")
    objects.fetch(KEY, len(every) - len(THIRD), len(every), tmp_path / "third")
    assert (tmp_path / "all").read_bytes() == every
    assert (tmp_path / "third").read_bytes() == THIRD


def test_what_is_deleted_is_gone_and_may_be_deleted_again(objects: Objects, tmp_path: Path) -> None:
    objects.put_part(KEY, 1, THIRD)
    objects.join(KEY)
    for _ in range(2):
        objects.delete(KEY)
    assert objects.size(KEY) is None
    assert objects.parts(KEY) == {}
    with pytest.raises(MissingError):
        whole(objects)
    with pytest.raises(MissingError):
        objects.fetch(KEY, 0, 1, tmp_path / "none")
    with pytest.raises(MissingError):
        objects.join(KEY)


def test_a_tenants_objects_are_listed_and_no_others(objects: Objects) -> None:
    objects.put_part("other/recordings/b1", 1, b"b")
    objects.put_part("default/recordings/a2", 1, b"a")
    objects.put_part(KEY, 1, b"a")
    objects.join(KEY)
    assert objects.keys("default/recordings") == [KEY, "default/recordings/a2"]
    assert objects.keys("default") == objects.keys("default/recordings")
    assert objects.keys("nobody") == []


@pytest.mark.parametrize("key", ["../etc/passwd", "/etc/passwd", "a/../b", "a//b", "a\\b", "", "a/b.parts", "a\n"])
def test_a_key_leads_nowhere_else(objects: Objects, key: str) -> None:
    for use in (objects.parts, objects.size, objects.delete, objects.keys, objects.join):
        with pytest.raises(InputError):
            use(key)
    with pytest.raises(InputError):
        objects.put_part(key, 1, b"")


def test_parts_are_numbered_from_one(objects: Objects) -> None:
    for number in (0, -1, 10**6):
        with pytest.raises(InputError):
            objects.put_part(KEY, number, b"")


def test_a_store_that_is_away_is_asked_again_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file lies in the way")
    with pytest.raises(TryLaterError, match="cannot be kept"):
        FileObjects(tmp_path / "objects").put_part(KEY, 1, b"")
    with pytest.raises(InputError, match="names no bucket"):
        S3Objects(ObjectSettings("recorded"))
