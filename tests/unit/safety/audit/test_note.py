import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carcloud.errors import InputError
from carcloud.safety.audit.note import (
    LOG,
    WITNESS,
    Checkpoint,
    Key,
    Line,
    Note,
    cosignature,
    cosigned,
    cosigned_at,
    parse_checkpoint,
    parse_key,
    parse_note,
)

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SECRET.public_key().public_bytes_raw()
KEY, WITNESS_KEY = Key("carcloud/test", LOG, PUBLIC), Key("witness/w1", WITNESS, PUBLIC)
CHECKPOINT = Checkpoint("carcloud/test", 7, hashlib.sha256(b"root").digest())


def signed(text: str = CHECKPOINT.text()) -> Note:
    at = 1_790_000_000
    return Note(
        text,
        (
            Line(KEY.name, KEY.id, SECRET.sign(text.encode())),
            cosignature(WITNESS_KEY, at, SECRET.sign(cosigned(at, text))),
        ),
    )


def test_time_stands_where_the_specification_puts_it():
    head = base64.b64decode("jWbPPwAAAABkGFDL")  # of the example in c2sp.org/tlog-cosignature: id and time
    assert cosigned_at(head[4:]) == 1679315147


def test_note_is_read_and_written_again():
    note = signed()
    assert parse_note(bytes(note)) == note
    assert parse_checkpoint(note.text) == CHECKPOINT
    assert bytes(note).decode().splitlines()[:4] == [*note.text.splitlines(), ""]


def test_key_is_written_as_name_id_and_typed_key():
    typed = b"\x01" + PUBLIC
    wanted = hashlib.sha256(b"carcloud/test\n" + typed).hexdigest()[:8]
    assert str(KEY) == f"carcloud/test+{wanted}+{base64.b64encode(typed).decode()}"
    assert parse_key(f"{KEY}\n") == KEY
    assert parse_key(str(WITNESS_KEY)) == WITNESS_KEY


@pytest.mark.parametrize("text", ["", "a", "a+b+c", "+".join(["a", "00000000", base64.b64encode(PUBLIC).decode()])])
def test_what_is_no_key_is_said(text):
    with pytest.raises(InputError, match="is no key"):
        parse_key(text)


def test_key_whose_id_was_changed_is_refused():
    name, given, rest = str(KEY).split("+", 2)
    with pytest.raises(InputError, match="does not fit its id"):
        parse_key(f"{name}+{'0' * len(given)}+{rest}")


def test_signatures_of_log_and_witness_hold_for_their_own_kind_only():
    note = parse_note(bytes(signed()))
    assert note.of(KEY)
    assert note.of(WITNESS_KEY)
    assert note.of(Key("carcloud/other", LOG, PUBLIC)) is None
    swapped = Note(note.text, (Line(WITNESS_KEY.name, WITNESS_KEY.id, note.lines[0].signature),))
    with pytest.raises(InputError, match="false"):
        swapped.of(WITNESS_KEY)


def test_changed_text_and_changed_time_are_false():
    note = signed()
    other = Note(Checkpoint("carcloud/test", 8, CHECKPOINT.root).text(), note.lines)
    for key in (KEY, WITNESS_KEY):
        with pytest.raises(InputError, match="false"):
            other.of(key)
    at, *rest = note.lines[1].signature[:8], note.lines[1].signature[8:]
    late = Line(WITNESS_KEY.name, WITNESS_KEY.id, (int.from_bytes(at) + 1).to_bytes(8) + rest[0])
    with pytest.raises(InputError, match="false"):
        note.with_lines([late]).of(WITNESS_KEY)


def test_new_signature_replaces_the_older_of_its_key():
    note = signed()
    at = 1_790_000_001
    newer = cosignature(WITNESS_KEY, at, SECRET.sign(cosigned(at, note.text)))
    found = note.with_lines([newer])
    assert len(found.lines) == 2
    assert found.of(WITNESS_KEY) == newer


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"a\nb\nc\n",
        CHECKPOINT.text().encode(),
        CHECKPOINT.text().encode() + b"\n",
        CHECKPOINT.text().encode() + b"\nno signature\n",
        CHECKPOINT.text().encode() + b"\n" + "\u2014 name AAAA\n".encode(),
        CHECKPOINT.text().encode() + b"\n" + "\u2014 a+b AAAAAAAA\n".encode(),
        CHECKPOINT.text().encode() + b"\n" + "\u2014 name AAAAAAAA".encode(),
        CHECKPOINT.text().encode() + b"\x07\n" + "\u2014 name AAAAAAAA\n".encode(),
        CHECKPOINT.text().encode() + b"\n" + "\u2014 name AAAAAAAA\n".encode() * 65,
        b"x" * 70_000,
    ],
)
def test_what_is_no_note_is_said(data):
    with pytest.raises(InputError, match="no signed checkpoint"):
        parse_note(data)


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n",
        "a\n01\nx\n",
        f"a\n-1\n{'A' * 43}=\n",
        f"a\n1\n{'A' * 42}==\n",
        f"\n1\n{'A' * 43}=\n",
        f"a\n1\n{'A' * 43}=",
    ],
)
def test_what_is_no_checkpoint_is_said(text):
    with pytest.raises(InputError, match="no signed checkpoint"):
        parse_checkpoint(text)


def test_checkpoint_with_further_lines_is_read():
    assert parse_checkpoint(CHECKPOINT.text() + "more\n") == CHECKPOINT
