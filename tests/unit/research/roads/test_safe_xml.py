"""XML of others is read without trusting it."""

from pathlib import Path

import pytest

from carcloud.errors import InputError
from carcloud.research.adapters import xml


def bomb() -> bytes:
    layers = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE a [<!ENTITY e0 "lol">{layers}]><a b="&e9;">&e9;</a>'.encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<a",
        b"<a></b>",
        b"\x00\x01\x02",
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b"<a>" * 300 + b"</a>" * 300,
        bomb(),
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'.encode("utf-16"),
    ],
    ids=["empty", "cut", "crossed", "binary", "encoding", "deep", "bomb", "entity", "outer entity", "utf-16"],
)
def test_text_that_is_broken_or_hostile_is_refused(text: bytes) -> None:
    with pytest.raises(InputError) as refused:
        xml.parse_text(text, "drawing.xml")
    assert "drawing.xml" in refused.value.message
    assert refused.value.do


def test_an_outer_document_type_is_not_fetched() -> None:
    assert xml.parse_text(b'<!DOCTYPE a SYSTEM "file:///etc/hostname"><a/>', "a").text is None


def test_namespaces_comments_and_instructions_are_left_out() -> None:
    root = xml.parse_text(b'<a xmlns="urn:x"><!-- no --><?no?><b>1</b></a>', "a")
    assert [one.tag for one in root.iter()] == ["a", "b"]


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "LIMIT_XML_BYTES", 10)
    (tmp_path / "large.xml").write_bytes(b"<a>0123456789</a>")
    with pytest.raises(InputError, match=r"large\.xml is over"):
        xml.parse(tmp_path / "large.xml")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        xml.parse(tmp_path / "none.xml")


@pytest.mark.parametrize("told", ["nan", "inf", "", "1,5", "0x10"])
def test_a_number_must_be_finite_and_the_error_names_the_line(told: str) -> None:
    root = xml.parse_text(f'<a>\n<b n="{told}"/></a>'.encode(), "a")
    with pytest.raises(InputError, match="line 2"):
        xml.number(root[0], "n", 1.0)


def test_a_missing_number_takes_its_default_where_there_is_one() -> None:
    root = xml.parse_text(b"<a/>", "a")
    assert xml.number(root, "n", 2.0) == 2.0
    with pytest.raises(InputError, match="n of <a> in line 1"):
        xml.number(root, "n")
