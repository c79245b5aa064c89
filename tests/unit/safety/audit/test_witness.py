import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.errors import ConflictError, TryLaterError
from carcloud.safety.audit import tree
from carcloud.safety.audit.door import witness_app
from carcloud.safety.audit.note import LOG, Checkpoint, Key, Line, Note, cosigned_at, parse_lines
from carcloud.safety.audit.tiles import Tiles
from carcloud.safety.audit.witness import Answer, Witness
from carcloud.safety.audit.witnesses import ALARM_AFTER_S, WitnessClient, Witnesses

SECRET = Ed25519PrivateKey.generate()
KEY = Key("carcloud/local", LOG, SECRET.public_key().public_bytes_raw())
ONE = [tree.leaf_hash(b"%d" % n) for n in range(300)]
OTHER = [*ONE[:5], tree.leaf_hash(b"forged"), *ONE[6:]]


def hash_of(history: list[bytes]) -> tree.HashOf:
    return lambda level, index: tree.root_of(history[index << level : (index + 1) << level])


def checkpoint(size: int, history: list[bytes] = ONE, origin: str = KEY.name) -> Checkpoint:
    return Checkpoint(origin, size, tree.root(size, hash_of(history)))


def signed(found: Checkpoint, secret: Ed25519PrivateKey = SECRET, key: Key = KEY) -> Note:
    return Note(found.text(), (Line(key.name, key.id, secret.sign(found.text().encode())),))


def request(old: int, new: int, history: list[bytes] = ONE, note: Note | None = None) -> bytes:
    proof = tree.consistency_proof(old, new, hash_of(history)) if old <= new else []
    lines = [f"old {old}", *(base64.b64encode(step).decode() for step in proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + bytes(note or signed(checkpoint(new, history)))


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    witness = Witness(tmp_path / "w", [KEY], "test/witness", clock=lambda: 1_790_000_000.9)
    yield witness
    witness.close()


def test_log_that_grows_is_cosigned_with_the_time(witness: Witness):
    for old, new in ((0, 1), (1, 7), (7, 7), (7, 256), (256, 300)):
        answer = witness.answer(request(old, new))
        assert answer.status == 200
        note = Note(checkpoint(new).text(), parse_lines(answer.body))
        line = note.of(witness.key)
        assert line
        assert cosigned_at(line.signature) == 1_790_000_000
    assert witness.newest(KEY.name) == checkpoint(300)


def test_another_history_is_never_cosigned(witness: Witness):
    assert witness.answer(request(0, 7)).status == 200
    assert witness.answer(request(7, 20, OTHER)).status == 422
    assert witness.answer(request(7, 7, OTHER)) == Answer(409, "7\n", "text/x.tlog.size")
    assert witness.answer(request(0, 20, OTHER)) == Answer(409, "7\n", "text/x.tlog.size")
    assert witness.answer(request(5, 5)) == Answer(409, "7\n", "text/x.tlog.size")
    assert witness.newest(KEY.name) == checkpoint(7)


def test_what_is_signed_is_remembered_by_the_next_process(witness: Witness, tmp_path: Path):
    witness.answer(request(0, 7))
    with pytest.raises(ConflictError, match="Another witness uses"):
        Witness(tmp_path / "w", [KEY], "test/witness")
    witness.close()
    again = Witness(tmp_path / "w", [KEY], "test/witness")
    assert again.key == witness.key
    assert again.answer(request(0, 20, OTHER)).status == 409
    assert again.answer(request(7, 20)).status == 200
    again.close()
    with pytest.raises(ConflictError, match="another name"):
        Witness(tmp_path / "w", [KEY], "test/other")


def test_unknown_log_and_unknown_key_are_refused(witness: Witness):
    other = Ed25519PrivateKey.generate()
    foreign = Key(KEY.name, LOG, other.public_key().public_bytes_raw())
    assert witness.answer(request(0, 7, note=signed(checkpoint(7, origin="carcloud/other")))).status == 404
    assert witness.answer(request(0, 7, note=signed(checkpoint(7), other, foreign))).status == 403
    false = Note(checkpoint(7).text(), (Line(KEY.name, KEY.id, bytes(64)),))
    assert witness.answer(request(0, 7, note=false)).status == 403
    assert witness.newest(KEY.name) is None


def test_proof_where_none_is_due_and_none_where_one_is_due_are_refused(witness: Witness):
    step = base64.b64encode(bytes(32)) + b"\n"
    assert witness.answer(b"old 0\n" + step + b"\n" + bytes(signed(checkpoint(7)))).status == 422
    assert witness.answer(request(0, 7)).status == 200
    assert witness.answer(b"old 7\n\n" + bytes(signed(checkpoint(8)))).status == 422
    assert witness.answer(b"old 7\n" + step + b"\n" + bytes(signed(checkpoint(7)))).status == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n",
        b"old 01\n\n" + bytes(signed(checkpoint(7))),
        b"old -1\n\n" + bytes(signed(checkpoint(7))),
        b"OLD 0\n\n" + bytes(signed(checkpoint(7))),
        b"old 0\n!\n\n" + bytes(signed(checkpoint(7))),
        b"old 0\n" + b"AAAA\n" * 64 + b"\n" + bytes(signed(checkpoint(7))),
        b"old 0\n\nno note",
        b"old 8\n\n" + bytes(signed(checkpoint(7))),
    ],
)
def test_what_is_no_request_is_refused(witness: Witness, body: bytes):
    assert witness.answer(body).status == 400


# over HTTP, and the log's side


def client(witness: Witness) -> WitnessClient:
    transport = httpx.ASGITransport(witness_app(witness))

    def post(body: bytes) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://witness") as session:
                return await session.post("/add-checkpoint", content=body)

        return asyncio.run(asked())

    return WitnessClient(witness.key, post)


@pytest.fixture
def tiles(tmp_path: Path) -> Tiles:
    tiles = Tiles(tmp_path / "log")
    (tmp_path / "log").mkdir()
    tiles.append(0, [b"%d" % n for n in range(300)])
    return tiles


def test_log_that_does_not_know_where_the_witness_stands_finds_out(witness: Witness, tiles: Tiles):
    assert witness.answer(request(0, 256)).status == 200
    note = signed(checkpoint(300))
    line = client(witness).ask(note, checkpoint(300), tiles)
    assert note.with_lines([line]).of(witness.key)


def test_log_that_was_put_back_hears_so(witness: Witness, tiles: Tiles):
    assert witness.answer(request(0, 300)).status == 200
    with pytest.raises(ConflictError, match="has seen 300 leaves, where this log has 256"):
        client(witness).ask(signed(checkpoint(256)), checkpoint(256), tiles)
    with pytest.raises(ConflictError, match="has seen another history, where this log has 300"):
        client(witness).ask(signed(checkpoint(300, OTHER)), checkpoint(300, OTHER), tiles)


def test_witness_that_is_away_raises_an_alarm_after_a_while_and_is_asked_again(witness: Witness, tiles, monkeypatch):
    away, calls, now = True, 0, 1000.0
    good = client(witness)

    def post(body: bytes) -> httpx.Response:
        nonlocal calls
        calls += 1
        if away:
            raise httpx.ConnectError("away")
        return good._post(body)

    monkeypatch.setattr("carcloud.safety.audit.witnesses.time.time", lambda: now)
    monkeypatch.setattr("carcloud.safety.audit.witnesses.time.monotonic", lambda: now)
    witnesses = Witnesses([WitnessClient(witness.key, post)])
    note = signed(checkpoint(300))
    assert witnesses(note, checkpoint(300), tiles) == []
    assert witnesses(note, checkpoint(300), tiles) == []
    assert calls == 1
    assert witnesses.alarms() == []
    now += ALARM_AFTER_S + 1
    (alarm,) = witnesses.alarms()
    assert alarm["code"] == "audit_unwitnessed"
    assert "test/witness is away" in alarm["message"]
    away = False
    (line,) = witnesses(note, checkpoint(300), tiles)
    assert witnesses.alarms() == []
    assert witnesses(note.with_lines([line]), checkpoint(300), tiles) == []
    with pytest.raises(TryLaterError):
        WitnessClient(witness.key, lambda _: (_ for _ in ()).throw(httpx.ReadTimeout("slow"))).ask(
            note, checkpoint(300), tiles
        )


def test_http_takes_one_request_and_refuses_the_rest(witness: Witness):
    async def ask() -> list[int]:
        transport = httpx.ASGITransport(witness_app(witness))
        async with httpx.AsyncClient(transport=transport, base_url="http://witness") as session:
            good = await session.post("/add-checkpoint", content=request(0, 7))
            wrong = [
                await session.get("/add-checkpoint"),
                await session.post("/other", content=b""),
                await session.post("/add-checkpoint", content=bytes(100 * 1024)),
            ]
            return [good.status_code, *(answer.status_code for answer in wrong)]

    assert asyncio.run(ask()) == [200, 405, 404, 413]
