import os
import stat
import threading
from pathlib import Path

import pytest

from carcloud.errors import NotAllowedError
from carcloud.safety.keys import private_folder, read_or_make_key, write_file


def test_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    first = read_or_make_key(path, lambda: os.urandom(32))
    assert read_or_make_key(path, lambda: os.urandom(32)) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_all_who_ask_at_once_get_the_same_key_and_no_draft_stays(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(read_or_make_key(tmp_path / "a.key", lambda: os.urandom(32))))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.key"]


def test_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    read_or_make_key(tmp_path / "a.key", lambda: b"key")
    (tmp_path / "a.key").chmod(0o640)
    with pytest.raises(NotAllowedError, match="chmod 600"):
        read_or_make_key(tmp_path / "a.key", lambda: b"key")


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    write_file(tmp_path / "a.pem", b"old", 0o644)
    write_file(tmp_path / "a.pem", b"new", 0o644)
    assert (tmp_path / "a.pem").read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.pem"]


def test_private_folder_is_entered_by_its_owner_only(tmp_path: Path) -> None:
    assert stat.S_IMODE(private_folder(tmp_path / "keys").stat().st_mode) == 0o700
