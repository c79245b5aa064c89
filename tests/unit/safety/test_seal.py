from pathlib import Path

import pytest

from carcloud.errors import ConflictError
from carcloud.safety.seal import Seal


def test_sealed_payload_opens_for_its_own_entry(tmp_path: Path) -> None:
    sealed = Seal(tmp_path).seal(b"Vehicle.Speed 42", "entry")
    assert b"Vehicle" not in sealed
    assert Seal(tmp_path).open(sealed, "entry") == b"Vehicle.Speed 42"


def test_same_payload_is_never_sealed_the_same_twice(tmp_path: Path) -> None:
    seal = Seal(tmp_path)
    assert seal.seal(b"x", "entry") != seal.seal(b"x", "entry")


def test_payload_moved_to_another_entry_does_not_open(tmp_path: Path) -> None:
    seal = Seal(tmp_path)
    with pytest.raises(ConflictError, match="does not open"):
        seal.open(seal.seal(b"x", "one"), "two")


@pytest.mark.parametrize("place", [0, 12, -1])
def test_changed_payload_does_not_open(tmp_path: Path, place: int) -> None:
    seal = Seal(tmp_path)
    sealed = bytearray(seal.seal(b"x", "entry"))
    sealed[place] ^= 1
    with pytest.raises(ConflictError, match="tampered"):
        seal.open(bytes(sealed), "entry")


@pytest.mark.parametrize("size", [0, 5, 12, 20])
def test_truncated_payload_does_not_open(tmp_path: Path, size: int) -> None:
    seal = Seal(tmp_path)
    with pytest.raises(ConflictError):
        seal.open(seal.seal(b"x", "entry")[:size], "entry")


def test_payload_does_not_open_under_another_key(tmp_path: Path) -> None:
    sealed = Seal(tmp_path / "one").seal(b"x", "entry")
    with pytest.raises(ConflictError):
        Seal(tmp_path / "two").open(sealed, "entry")
