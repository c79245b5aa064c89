from pathlib import Path

import pytest

from carcloud.errors import ConflictError
from carcloud.safety.audit import tree
from carcloud.safety.audit.tiles import Tiles, bundled, levels, tile_path, unbundled, width_of

ENTRIES = [b"leaf %d" % n for n in range(70_000)]


def files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_paths_are_those_of_the_specification():
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(3, 67, 8) == "tile/3/067.p/8"
    assert tile_path("entries", 1000, 1) == "tile/entries/x001/000.p/1"


def test_tree_of_70000_has_the_tiles_that_the_specification_counts():
    assert list(levels(70_000)) == [0, 1, 2]
    assert [width_of(0, index, 70_000) for index in (272, 273, 274)] == [256, 112, 0]
    assert [width_of(1, index, 70_000) for index in (0, 1)] == [256, 17]
    assert width_of(2, 0, 70_000) == 1
    assert [width_of(level, 0, 256) for level in levels(256)] == [256, 1]


def test_bundle_is_read_as_written_and_a_cut_one_is_said():
    entries = [b"", b"a", b"b" * 65535]
    assert [entry for _, entry in unbundled(bundled(entries))] == entries
    with pytest.raises(ValueError, match="within a leaf, at byte 4 of 5"):
        list(unbundled(bundled([b"abc"])[:-1]))
    with pytest.raises(ValueError, match="within a length, at byte 5"):
        list(unbundled(bundled([b"abc", b"d"])[:6]))


@pytest.mark.parametrize("steps", [[70_000], [1, 254, 1, 1, 255, 700, 65_000], [256, 256, 1]])
def test_log_that_grew_in_steps_proves_what_it_holds(tmp_path: Path, steps: list[int]):
    tiles, size = Tiles(tmp_path), 0
    for step in steps:
        tiles.append(size, ENTRIES[size : size + step])
        size += step
    hash_of, root = tiles.hash_of(size), tree.tree_root(ENTRIES[:size])
    assert tree.root(size, hash_of) == root
    for number in (0, 1, size // 2, size - 1):
        proof = tree.inclusion_proof(number, size, hash_of)
        assert tree.verify_inclusion(number, size, tree.leaf_hash(ENTRIES[number]), proof, root)
        assert tiles.entry(number, size) == ENTRIES[number]
    old = size // 3
    proof = tree.consistency_proof(old, size, hash_of)
    assert tree.verify_consistency(old, size, tree.tree_root(ENTRIES[:old]), root, proof)


def test_writing_again_changes_nothing_also_after_tidying(tmp_path: Path):
    tiles = Tiles(tmp_path)
    tiles.append(0, ENTRIES[:250])
    tiles.append(250, ENTRIES[250:520])
    tiles.tidy(250, 520)
    before = files(tmp_path)
    assert set(before) == {
        *("tile/0/000", "tile/0/001", "tile/0/002.p/8", "tile/1/000.p/2"),
        *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/8"),
    }
    tiles.append(250, ENTRIES[250:520])
    assert files(tmp_path) == before
    assert Tiles(tmp_path).entries(0, 250) == ENTRIES[:250]
    assert tree.root(250, tiles.hash_of(250)) == tree.tree_root(ENTRIES[:250])


def test_missing_and_cut_tiles_are_said(tmp_path: Path):
    tiles = Tiles(tmp_path)
    tiles.append(0, ENTRIES[:300])
    (tmp_path / "tile/0/001.p/44").write_bytes(b"x" * 33)
    with pytest.raises(ConflictError, match=r"tile/0/001\.p/44 of the audit log is cut"):
        tree.root(300, tiles.hash_of(300))
    (tmp_path / "tile/entries/000").write_bytes(b"\0\1")
    with pytest.raises(ConflictError, match="tile/entries/000 of the audit log is cut"):
        tiles.entry(3, 300)
    (tmp_path / "tile/entries/000").unlink()
    with pytest.raises(ConflictError, match="lost tile/entries/000"):
        tiles.entry(3, 300)
