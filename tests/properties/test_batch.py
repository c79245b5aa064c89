"""The batch codec: whatever is encoded comes back, and whatever is broken is noticed."""

import json
import struct
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from carcloud.vehicle.batch import (
    HEADER,
    LIMIT_BODY_BYTES,
    LIMIT_PAYLOAD_BYTES,
    Batch,
    BatchError,
    IdTable,
    Provenance,
    decode,
    decode_json,
    encode,
    renumber,
    tombstone,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
U64 = st.integers(1, 2**64 - 1)
NUMBERS = st.integers(1, 2**63 - 1)


@st.composite
def batches(draw) -> Batch:
    signals = sorted(draw(st.sets(st.integers(0, 65535), max_size=6)))
    counts = [draw(st.integers(1, 8)) for _ in signals]
    times = [draw(arrays(np.int32, count)) for count in counts]
    values = draw(arrays(np.float64, sum(counts)))
    rows = draw(st.sets(st.integers(0, len(values) - 1), max_size=5)) if len(values) else set()
    values[list(rows)] = np.nan
    return Batch(
        draw(st.binary(min_size=8, max_size=8)),
        draw(U64),
        draw(NUMBERS),
        draw(st.integers(-(2**63), 2**63 - 1)),
        np.array(signals, np.uint16),
        np.array(counts, np.uint32),
        np.concatenate([np.sort(run) for run in times]) if times else np.empty(0, np.int32),
        values,
        draw(st.sampled_from(Provenance)),
        {row: draw(TEXTS) for row in sorted(rows)},
    )


def same(one: Batch, other: Batch) -> bool:
    plain = ("table", "queue", "number", "base_us", "provenance", "texts")
    columns = ("signals", "counts", "times")
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns)
        and np.array_equal(one.values, other.values, equal_nan=True)
    )


def sample(**fields) -> Batch:
    values = np.array([1.0, np.nan, 3.0])
    columns = (np.array([0, 4], np.uint16), np.array([1, 2], np.uint32), np.array([5, 0, 9], np.int32), values)
    return Batch(b"01234567", 77, 3, 1_770_000_000_000_000, *columns, **({"texts": {1: "ON é"}} | fields))


def wrapped(body: bytes, runs: int = 1, samples: int = 1, flags: int = 0) -> bytes:
    head = HEADER.pack(b"CCB1", 1, 0, flags, bytes(8), 1, 1, 0, runs, samples, google_crc32c.value(body), 0)[:-4]
    return head + struct.pack("<I", google_crc32c.value(head)) + body


def result(read, content):
    """Return what `read` makes of the content: a batch, or the BatchError; any other error fails the test."""
    try:
        return read(content)
    except BatchError as error:
        return error


@given(batches())
def test_batch_comes_back_as_it_was(batch):
    assert same(decode(encode(batch)), batch)


@given(batches(), U64, NUMBERS)
def test_renumbered_batch_differs_in_queue_and_number_only(batch, queue, number):
    again = decode(renumber(encode(batch), queue, number))
    assert (again.queue, again.number) == (queue, number)
    assert same(decode(renumber(encode(again), batch.queue, batch.number)), batch)


def test_tombstone_is_an_empty_batch_with_its_number():
    batch = decode(tombstone(5, 9))
    assert (len(batch), batch.queue, batch.number) == (0, 5, 9)


def test_every_flipped_bit_is_noticed():
    payload = encode(sample())
    for bit in range(len(payload) * 8):
        broken = bytearray(payload)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BatchError):
            decode(bytes(broken))


@given(batches(), st.data())
def test_flipped_bit_in_any_batch_is_noticed(batch, data):
    broken = bytearray(encode(batch))
    bit = data.draw(st.integers(0, len(broken) * 8 - 1))
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BatchError):
        decode(bytes(broken))


def test_every_truncation_and_every_extension_is_noticed():
    payload = encode(sample())
    for length in range(len(payload)):
        with pytest.raises(BatchError):
            decode(payload[:length])
    with pytest.raises(BatchError):
        decode(payload + b"\0")


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"CCB1\x01" + tail))
def test_random_bytes_raise_nothing_but_batch_error(payload):
    with pytest.raises(BatchError):
        decode(payload)


@given(st.binary(max_size=200), st.integers(0, 40), st.integers(0, 40), st.sampled_from([0, 1]))
def test_random_body_under_true_checksums_raises_nothing_but_batch_error(raw, runs, samples, flags):
    found = result(decode, wrapped(zstandard.compress(raw), runs, samples, flags))
    assert (found.queue, found.number) == (1, 1)
    if isinstance(found, Batch):
        assert (len(found.signals), len(found)) == (runs, samples)
    else:
        assert found.cause in ("bad_body", "too_large")


@given(batches(), st.data())
def test_body_altered_under_true_checksums_raises_nothing_but_batch_error(batch, data):
    payload = encode(batch)
    raw = bytearray(zstandard.decompress(payload[HEADER.size :]))
    for _ in range(data.draw(st.integers(1, 4)) if raw else 0):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    altered = wrapped(zstandard.compress(bytes(raw)), len(batch.signals), len(batch), bool(batch.texts))
    assert result(decode, altered).number == 1


ZEROS = zstandard.ZstdCompressor(level=19, write_content_size=False)
BOMBS = {
    "4 GiB declared": b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**32) + b"\x02\x00\x10" + b"x",
    "64 MiB declared and there": zstandard.ZstdCompressor(level=19).compress(bytes(64 << 20)),
    "64 MiB undeclared": ZEROS.compress(bytes(64 << 20)),
    "more inside than declared": b"\x28\xb5\x2f\xfd\xa0"
    + struct.pack("<I", 18)
    + (0xFFFFF << 3 | 3).to_bytes(3, "little")
    + b"x",
    "bomb behind a good frame": zstandard.compress(bytes(18))
    + zstandard.ZstdCompressor(level=19).compress(bytes(64 << 20)),
    "skippable frame": b"\x50\x2a\x4d\x18" + struct.pack("<I", 18) + bytes(18),
    "another frame behind a skippable one": b"\x50\x2a\x4d\x18" + struct.pack("<I", 0) + zstandard.compress(bytes(18)),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_zip_bomb_is_refused_without_taking_memory(bomb):
    payload = wrapped(bomb)
    assert len(payload) <= LIMIT_PAYLOAD_BYTES
    tracemalloc.start()
    with pytest.raises(BatchError) as error:
        decode(payload)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.value.cause in ("bad_body", "too_large")
    assert error.value.number == 1
    assert peak < 2 * LIMIT_BODY_BYTES


def test_the_largest_body_is_taken_and_a_larger_one_is_not():
    n = (LIMIT_BODY_BYTES - 6) // 12

    def ramp(n: int) -> Batch:
        columns = (np.zeros(1, np.uint16), np.full(1, n, np.uint32), np.zeros(n, np.int32), np.zeros(n))
        return Batch(bytes(8), 1, 1, 0, *columns)

    assert len(decode(encode(ramp(n)))) == n
    with pytest.raises(BatchError, match="too_large"):
        encode(ramp(n + 1))


def test_what_does_not_fit_a_payload_is_refused_at_both_ends():
    n = 20_000
    noise = np.random.default_rng(1).normal(size=n)
    columns = (np.zeros(1, np.uint16), np.full(1, n, np.uint32), np.arange(n, dtype=np.int32), noise)
    with pytest.raises(BatchError, match="too_large"):
        encode(Batch(bytes(8), 1, 1, 0, *columns))
    with pytest.raises(BatchError, match="too_large"):
        decode(encode(sample()) + bytes(LIMIT_PAYLOAD_BYTES))
    with pytest.raises(BatchError, match="too_large"):
        encode(sample(texts={1: "x" * (8 * 1024 + 1)}))


def test_threads_may_encode_and_decode_at_once():
    batch = sample()

    def work(_: int) -> bool:
        return all(same(decode(encode(batch)), batch) for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
ROW = st.fixed_dictionaries(
    {},
    optional={"signal": st.just("V.A") | JSON, "value": JSON, "time": JSON | st.datetimes().map(str), "unit": JSON},
)
BODY = st.fixed_dictionaries(
    {"samples": st.lists(ROW, max_size=5) | JSON},
    optional={"queue": st.just("00000000000000ff") | JSON, "number": st.integers() | JSON, "provenance": JSON},
)


@given(BODY | JSON)
def test_any_json_is_a_batch_or_a_batch_error(value):
    found = result(decode_json, json.dumps(value).encode())
    if isinstance(found, BatchError):
        assert found.cause in ("bad_json", "too_large")
        return
    assert len(found.samples) == len(value["samples"])
    assert bool(found.queue) == bool(found.number)
    for row in found.samples:
        assert isinstance(row.value, float | str)
        row.signal.encode()


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda tail: b'{"samples":[{' + tail))
def test_random_bytes_are_no_json_batch(payload):
    with pytest.raises(BatchError):
        decode_json(payload)


@pytest.mark.parametrize("depth", [100, 900, 990, 20_000])
def test_deeply_nested_json_raises_nothing_but_batch_error(depth):
    value = b"[" * depth + b"]" * depth
    for text in (b'{"samples":' + value + b"}", b'{"samples":[{"signal":"V.A","value":' + value + b"}]}"):
        found = result(decode_json, text)
        if isinstance(found, BatchError):
            assert found.cause in ("bad_json", "too_large")
        else:
            assert depth in (100, 900)


def test_json_in_another_encoding_is_refused():
    with pytest.raises(BatchError, match="bad_json"):
        decode_json('{"samples":[]}'.encode("utf-16-le"))


@given(st.fixed_dictionaries({"signals": st.lists(st.tuples(JSON, JSON).map(list) | JSON, max_size=5)}) | JSON)
def test_any_json_is_an_id_table_or_a_batch_error(value):
    found = result(IdTable.parse, json.loads(json.dumps(value)))
    if isinstance(found, IdTable):
        assert IdTable.parse(json.loads(found.canonical())).hash == found.hash
    else:
        assert found.cause == "bad_json"


@pytest.mark.parametrize(
    "row",
    [["V\n", None], ['V"', None], ["V\\", None], ["", None], ["\ud800", None], ["V", ""], ["V" * 257, None], ["V"]],
)
def test_id_table_with_names_that_have_two_spellings_is_refused(row):
    with pytest.raises(BatchError, match="bad_json"):
        IdTable.parse({"signals": [row]})


def test_id_table_with_a_path_twice_is_refused():
    with pytest.raises(BatchError, match="twice"):
        IdTable.parse({"signals": [["V.A", None], ["V.A", "m"]]})
