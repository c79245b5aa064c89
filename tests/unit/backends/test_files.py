from pathlib import Path

import pytest

from carcloud.backends import files
from carcloud.errors import TryLaterError


def test_several_files_are_written_with_their_folders(tmp_path: Path):
    wanted = {tmp_path / f"a/{n}/b/{m}": b"%d" % m for n in range(3) for m in range(20)}
    files.write_all_flushed(wanted)
    files.write_all_flushed({next(iter(wanted)): b"new"})
    found = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert found == wanted | {next(iter(wanted)): b"new"}


def test_where_one_finds_no_room_no_draft_is_left_and_the_old_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = tmp_path / "1"
    old.write_bytes(b"old")
    write = files._write

    def full(path: Path, data: bytes) -> None:
        if path.name.startswith("2"):
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(files, "_write", full)
    with pytest.raises(TryLaterError, match="No space left"):
        files.write_all_flushed({old: b"new", tmp_path / "2": b"x"})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"1": b"old"}
