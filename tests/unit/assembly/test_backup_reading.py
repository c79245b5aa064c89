"""What a backup takes of a zone's files: no receipt too many, and no file that is not kept."""

from __future__ import annotations

from pathlib import Path

import orjson

from carcloud.assembly.backup.reading import Receipts, files_below


def line(chunk: int) -> bytes:
    return b"\n" + orjson.dumps({"statement": {"chunk": chunk}, "signature": "00"})


def whole(receipts: Receipts, step: int) -> bytes:
    return b"".join(iter(lambda: receipts.read(step), b""))


def test_receipts_beyond_the_lakes_version_and_lines_cut_short_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "2026-11-23-0.jsonl"
    file.write_bytes(line(1) + line(2)[:9] + line(2) + line(3) + b"\n[]" + line(4))
    for step in (1, 7, 1000):
        receipts = Receipts(file, 3)
        with file.open("ab") as more:
            more.write(line(3))  # what is appended meanwhile changes nothing
        found = whole(receipts, step)
        assert len(found) == receipts.size
        chunks = [orjson.loads(each)["statement"]["chunk"] for each in found.splitlines()]
        assert chunks == [1, 2, 3] + [3] * (len(chunks) - 3)
    assert whole(Receipts(file, 0), 10) == b""


def test_files_of_the_named_parts_links_sockets_and_drafts_are_left_out(tmp_path: Path) -> None:
    for name in (
        "keys/a.key",
        "lake/samples/x.parquet",
        "lake/erased/y.jsonl",
        "run/zone.json",
        "keys/b.new",
        "tenant",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "tenant")
    found = [str(path.relative_to(tmp_path)) for path in files_below(tmp_path, ("run", "lake/samples"))]
    assert found == ["keys/a.key", "lake/erased/y.jsonl", "tenant"]
    assert list(files_below(tmp_path / "absent")) == []
