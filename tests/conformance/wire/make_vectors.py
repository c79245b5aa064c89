"""Write docs/wire-vectors.json: `python tests/conformance/wire/make_vectors.py`.

The vectors are built from docs/wire.md with struct alone, so that they do not repeat a mistake of our codec. Bodies
are zstd frames of one raw block, the same bytes with every version of zstd; only the vector `compressed` is not.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import zstandard

FILE = Path(__file__).parents[3] / "docs/wire-vectors.json"
BASE = 1_770_000_000_000_000
QUEUE = 0x0123456789ABCDEF
TABLE = [["Vehicle.Speed", "km/h"], ["Vehicle.IsMoving", None], ["Vehicle.LowVoltageSystemState", None]]
NAN = float("nan")


def canonical(table: list[Any]) -> bytes:
    return json.dumps({"signals": table}, separators=(",", ":"), ensure_ascii=False).encode()


def table_hash(table: list[Any]) -> bytes:
    return hashlib.sha256(canonical(table)).digest()[:8]


def frame(raw: bytes, declared: int | None = None) -> bytes:
    """One zstd frame of one raw block, its size declared in 4 bytes. Source: RFC 8878, section 3.1.1."""
    size = struct.pack("<I", len(raw) if declared is None else declared)
    return b"\x28\xb5\x2f\xfd\xa0" + size + ((len(raw) << 3) | 1).to_bytes(3, "little") + raw


def body(signals, counts, times, values, texts=None) -> bytes:
    parts = [
        struct.pack(f"<{len(signals)}H", *signals),
        struct.pack(f"<{len(counts)}I", *counts),
        struct.pack(f"<{len(times)}i", *times),
        struct.pack(f"<{len(values)}d", *values),
    ]
    return b"".join(parts) + (text_section([(row, text.encode()) for row, text in texts.items()]) if texts else b"")


def text_section(rows: list[tuple[int, bytes]]) -> bytes:
    n = len(rows)
    head = struct.pack(f"<I{n}I{n}I", n, *(row for row, _ in rows), *(len(text) for _, text in rows))
    return head + b"".join(text for _, text in rows)


def payload(packed: bytes, runs: int, samples: int, **other: Any) -> bytes:
    field = {
        "magic": b"CCB1", "codec": 1, "provenance": 0, "flags": 0, "table": table_hash(TABLE), "queue": QUEUE,
        "number": 1, "base_us": BASE, "runs": runs, "samples": samples, "body_crc": google_crc32c.value(packed),
    } | other  # fmt: skip
    head_crc = field.pop("head_crc", None)
    head = struct.pack("<4sBBH8sQQqIII", *field.values())
    return head + struct.pack("<I", google_crc32c.value(head) if head_crc is None else head_crc) + packed


def good(name: str, signals, counts, times, values, texts=None, *, pack=frame, **header) -> dict[str, Any]:
    raw = body(signals, counts, times, values, texts)
    data = payload(pack(raw), len(signals), len(values), flags=1 if texts else 0, **header)
    decoded = {
        "table": table_hash(TABLE).hex(),
        "queue": f"{header.get('queue', QUEUE):016x}",
        "number": header.get("number", 1),
        "base_us": header.get("base_us", BASE),
        "provenance": ("measured", "replay", "simulated")[header.get("provenance", 0)],
        "signals": signals,
        "counts": counts,
        "times": times,
        "values": [None if value != value else value for value in values],
        "texts": {str(row): text for row, text in (texts or {}).items()},
    }
    return {"name": name, "hex": data.hex(), "body_hex": raw.hex(), "decoded": decoded}


def bad(name: str, cause: str, data: bytes, numbered: bool = True) -> dict[str, Any]:
    return {"name": name, "hex": data.hex(), "cause": cause, "numbered": numbered}


def good_columns() -> list[dict[str, Any]]:
    many = [round(50 + n * 0.1, 1) for n in range(200)]
    compress = zstandard.ZstdCompressor(3).compress
    return [
        good("one sample", [0], [1], [0], [48.5]),
        good("two signals, the second starting earlier", [0, 1], [2, 1], [500, 1_000_500, 0], [50.0, 50.1, 1.0]),
        good("times before the base", [0], [3], [-2_000_000, -1, 0], [1.0, 2.0, 3.0]),
        good("the same time twice", [0], [2], [7, 7], [1.0, 2.0]),
        good("texts", [0, 2], [1, 2], [0, 0, 9], [50.0, NAN, NAN], {1: "ON", 2: "启动 é"}),
        good("an empty text and NaN without text", [0, 2], [1, 1], [0, 0], [NAN, NAN], {1: ""}),
        good("empty", [], [], [], []),
        good("replayed", [0], [1], [0], [1.0], provenance=1),
        good("simulated", [0], [1], [0], [1.0], provenance=2),
        good("extremes", [65535], [2], [-(2**31), 2**31 - 1], [5e-324, -1.7976931348623157e308], queue=2**64 - 1,
             number=2**63 - 1, base_us=-1),
        good("compressed", [0], [200], [n * 100_000 for n in range(200)], many, pack=compress),
    ]  # fmt: skip


def bad_columns() -> list[dict[str, Any]]:
    raw = body([0], [1], [0], [1.0])
    whole = payload(frame(raw), 1, 1)
    no_size = b"\x28\xb5\x2f\xfd\x00\x58" + ((len(raw) << 3) | 1).to_bytes(3, "little") + raw
    huge = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**32) + b"\x02\x00\x10" + b"x"

    def of(name: str, cause: str, raw: bytes, runs: int, samples: int, **header: Any) -> dict[str, Any]:
        return bad(name, cause, payload(frame(raw), runs, samples, **header))

    def with_texts(
        name: str, rows: list[tuple[int, bytes]], values=(NAN, NAN), cause="bad_body", cut=0
    ) -> dict[str, Any]:
        raw = body([2], [2], [0, 1], values) + text_section(rows)
        return of(name, cause, raw[: len(raw) - cut], 1, 2, flags=1)

    return [
        bad("nothing", "unreadable", b"", False),
        bad("shorter than a header", "unreadable", whole[:55], False),
        bad("another magic", "unreadable", payload(frame(raw), 1, 1, magic=b"CCB2"), False),
        bad("header CRC wrong", "unreadable", payload(frame(raw), 1, 1, head_crc=1), False),
        bad("unknown codec", "bad_header", payload(frame(raw), 1, 1, codec=2)),
        bad("unknown provenance", "bad_header", payload(frame(raw), 1, 1, provenance=3)),
        bad("unknown flag", "bad_header", payload(frame(raw), 1, 1, flags=2)),
        bad("queue 0", "bad_header", payload(frame(raw), 1, 1, queue=0), False),
        bad("number 0", "bad_header", payload(frame(raw), 1, 1, number=0), False),
        bad("number 2^63", "bad_header", payload(frame(raw), 1, 1, number=2**63), False),
        bad("body CRC wrong", "bad_body", payload(frame(raw), 1, 1, body_crc=1)),
        bad("body cut short", "bad_body", whole[:-1]),
        bad("no body", "bad_body", payload(b"", 1, 1)),
        bad("not zstd", "bad_body", payload(raw, 1, 1)),
        bad("frame ends early", "bad_body", payload(frame(raw)[:-1], 1, 1)),
        bad("something after the frame", "bad_body", payload(frame(raw) + b"x", 1, 1)),
        bad("two frames", "bad_body", payload(frame(raw) + frame(raw), 1, 1)),
        bad("size not declared", "bad_body", payload(no_size, 1, 1)),
        bad("size declared too small", "bad_body", payload(frame(raw, len(raw) - 1), 1, 1)),
        bad("4 GiB declared", "too_large", payload(huge, 1, 1)),
        bad("5 MiB declared", "too_large", payload(frame(raw, 5 << 20), 1, 1)),
        of("more runs said than there are", "bad_body", raw, 2, 1),
        of("more samples said than there are", "bad_body", raw, 1, 2),
        of("4 billion samples said", "bad_body", raw, 1, 2**32 - 1),
        of("bytes left over", "bad_body", raw + b"x", 1, 1),
        of("counts do not add up", "bad_body", body([0], [2], [0], [1.0]), 1, 1),
        of("a run of none", "bad_body", body([0, 1], [1, 0], [0], [1.0]), 2, 1),
        of("signals fall", "bad_body", body([1, 0], [1, 1], [0, 0], [1.0, 1.0]), 2, 2),
        of("a signal has two runs", "bad_body", body([1, 1], [1, 1], [0, 0], [1.0, 1.0]), 2, 2),
        of("times fall within a signal", "bad_body", body([0], [2], [1, 0], [1.0, 1.0]), 1, 2),
        of("texts flagged but missing", "bad_body", raw, 1, 1, flags=1),
        with_texts("texts cut short", [(0, b"a"), (1, b"b")], cut=1),
        with_texts("text of no row", [(2, b"a")]),
        with_texts("text rows fall", [(1, b"a"), (0, b"b")]),
        with_texts("two texts for one row", [(0, b"a"), (0, b"b")]),
        with_texts("text that is not UTF-8", [(0, b"\xff")]),
        with_texts("text split inside a character", [(0, b"\xc3"), (1, b"\xa9")]),
        with_texts("text and number in one row", [(0, b"a")], (1.0, NAN)),
        with_texts("text too long", [(0, b"a" * (8 * 1024 + 1))], cause="too_large"),
    ]  # fmt: skip


def json_batches() -> list[dict[str, Any]]:
    def sample(**fields: Any) -> str:
        return json.dumps({"samples": [{"signal": "V.A", "value": 1} | fields]}, ensure_ascii=False)

    def taken(
        text: str, rows: list[Any], queue: str | None = None, number: int | None = None, provenance: str = "measured"
    ):
        decoded = {"samples": rows, "queue": queue, "number": number, "provenance": provenance}
        return {"name": text, "text": text, "decoded": decoded}

    def refused(text: str, cause: str = "bad_json", numbered: bool = False) -> dict[str, Any]:
        return {"name": text[:80], "text": text, "cause": cause, "numbered": numbered}

    numbered = '{"queue":"0123456789abcdef","number":7,"samples":%s}'
    return [
        taken('{"samples":[]}', []),
        taken('{"samples":[{"signal":"V.A","value":1.5}]}', [["V.A", None, 1.5, None]]),
        taken(sample(time=1_770_000_000_000_000, unit="m"), [["V.A", BASE, 1.0, "m"]]),
        taken(sample(time="2026-02-02T02:40:00Z"), [["V.A", BASE, 1.0, None]]),
        taken(sample(time="2026-02-02T03:40:00.000001+01:00"), [["V.A", BASE + 1, 1.0, None]]),
        taken(sample(value=True), [["V.A", None, 1.0, None]]),
        taken(sample(value="启动"), [["V.A", None, "启动", None]]),
        taken(sample(value=["a", 1, None]), [["V.A", None, '["a",1,null]', None]]),
        taken(numbered % '[{"signal":"V.A","value":0}]', [["V.A", None, 0.0, None]], "0123456789abcdef", 7),
        taken('{"provenance":"simulated","samples":[]}', [], provenance="simulated"),
        refused("{"),
        refused("{}"),
        refused('{"samples":{}}'),
        refused('{"samples":[1]}'),
        refused('{"samples":[{"signal":"V.A"}]}'),
        refused('{"samples":[{"value":1}]}'),
        refused('{"samples":[{"signal":"","value":1}]}'),
        refused(sample(value=None)),
        refused(sample(value={})),
        refused('{"samples":[{"signal":"V.A","value":"\\ud800"}]}'),
        refused(sample(unit=3)),
        refused(sample(time="2026-02-02T02:40:00")),
        refused(sample(time="yesterday")),
        refused(sample(time=1.5)),
        refused(sample(time=2**63)),
        refused(sample(value="a" * (8 * 1024 + 1)), "too_large"),
        refused('{"provenance":"guessed","samples":[]}'),
        refused('{"queue":"0123456789abcdef","samples":[]}'),
        refused('{"number":1,"samples":[]}'),
        refused('{"queue":"0000000000000000","number":1,"samples":[]}'),
        refused('{"queue":"0123456789ABCDEF","number":1,"samples":[]}'),
        refused('{"queue":"0123456789abcdef","number":0,"samples":[]}'),
        refused('{"queue":"0123456789abcdef","number":true,"samples":[]}'),
        refused(numbered % "3", numbered=True),
        refused(numbered % "[3]", numbered=True),
        refused('{"samples":' + "[" * 2000 + "]" * 2000 + "}"),
    ]


def make() -> dict[str, Any]:
    tables = [TABLE, [["Vehicle.Cabin.Temperature", "°C"]], [["V.A", None]]]
    return {
        "about": "Test vectors of docs/wire.md. hex: a payload; body_hex: its body unpacked; values: null is NaN; "
        "numbered: whether queue and number can be read although the batch is refused.",
        "tables": [{"canonical": canonical(table).decode(), "hash": table_hash(table).hex()} for table in tables],
        "columns": good_columns() + bad_columns(),
        "json": json_batches(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n")
