"""Whether a chunk is the governor's own: whatever is changed in it, it is not."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.safety.signer import Signer, Verifier
from carcloud.stream.chunk import Chunk, RawPosition, Record, decode, encode
from carcloud.stream.genuine import ForgedError, Verify, genuine
from tests.stream import CAR, NOW_US, OTHER, chunk

ROWS = [(car, path, NOW_US + at, float(at), 0) for car in (CAR, OTHER) for path in ("A.b", "B.a") for at in range(9)]
CHANGED = {
    "salt": "ab" * 16,
    "number": 8,
    "partition": 1,
    "at_us": NOW_US + 1,
    "raw": RawPosition("y", 7),
    "batches": 2,
    "samples_in": 99,
    "samples_kept": 99,
    "samples_transformed": 99,
    "received_us": NOW_US + 1,
    "refused": {"flood": 1},
    "lost": 1,
    "marks": [(CAR, "f" * 16, 3)],
    "tenants": {"other": [CAR]},
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def signer(keys: Path) -> Signer:
    return Signer(keys, keys / "run")


@pytest.fixture(scope="module")
def signed(keys: Path, signer: Signer) -> Verify:
    return Verifier(keys, "receipt")


@pytest.fixture(scope="module")
def own(signer: Signer) -> Chunk:
    return chunk(7, ROWS, signer=signer)


@pytest.mark.parametrize("rows", [ROWS, []])
def test_what_the_governor_signed_is_genuine(signer, signed, rows):
    made = chunk(7, rows, signer=signer)
    assert genuine(encode(made), 0, signed) == made.record
    assert genuine(encode(decode(encode(made))), 0, signed) == made.record


@pytest.mark.parametrize("name", sorted(field.name for field in fields(Record) if field.name != "receipt"))
def test_a_record_that_was_changed_is_not(own, signed, name):
    forged = Chunk(replace(own.record, **{name: CHANGED[name]}), own.rows)
    with pytest.raises(ForgedError, match="not what the governor signed"):
        genuine(encode(forged), 0, signed)


@pytest.mark.parametrize("rows", [ROWS[:-1], [*ROWS, ROWS[0]], [(*ROWS[0][:3], 9.0, 0), *ROWS[1:]], []])
def test_rows_that_were_changed_are_not(own, signed, rows):
    with pytest.raises(ForgedError, match="not what the governor signed"):
        genuine(encode(Chunk(own.record, chunk(7, rows).rows)), 0, signed)


def test_a_chunk_of_another_partition_is_not(own, signed):
    with pytest.raises(ForgedError):
        genuine(encode(own), 1, signed)


def test_a_receipt_by_another_key_is_not(own, signed, tmp_path):
    forger = Signer(tmp_path, tmp_path / "run")
    with pytest.raises(ForgedError, match="not signed by this zone"):
        genuine(encode(chunk(7, ROWS, signer=forger)), 0, signed)


@pytest.mark.parametrize(
    "receipt",
    [{}, {"statement": {}}, {"statement": 3, "signature": "00"}, {"statement": {}, "signature": "no hex"}]
    + [{"statement": {"content": ""}, "signature": signature} for signature in ("", "00" * 64, None, 7)],
)
def test_a_receipt_that_is_none_is_not(own, signed, receipt):
    with pytest.raises(ForgedError):
        genuine(encode(Chunk(replace(own.record, receipt=receipt), own.rows)), 0, signed)


def test_a_receipt_that_names_no_content_proves_nothing(own, keys, signed):
    other = chunk(7, ROWS, signer=Signer(keys, keys / "run"))
    del other.record.receipt["statement"]["content"]
    with pytest.raises(ForgedError):
        genuine(encode(other), 0, lambda *_: True)


@settings(max_examples=200)
@given(data=st.data())
def test_any_byte_that_was_changed_is_found_or_says_nothing(own, signed, data):
    whole = encode(own)
    at = data.draw(st.integers(0, len(whole) - 1))
    bad = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    try:
        record = genuine(bad, 0, signed)
    except ForgedError:
        return
    assert replace(record, receipt={}) == replace(own.record, receipt={})
    assert record.receipt["statement"] == own.record.receipt["statement"]
    assert decode(bad).rows.equals(own.rows)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_chunk_are_not(data):
    with pytest.raises(ForgedError, match="no chunk"):
        genuine(data, 0, lambda *_: True)


def test_without_a_public_key_nothing_is_believed(own, tmp_path):
    with pytest.raises(ForgedError):
        genuine(encode(own), 0, Verifier(tmp_path, "receipt"))
