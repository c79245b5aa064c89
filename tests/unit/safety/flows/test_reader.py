"""Reading another zone's flow: what is no page of one is refused, whatever it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from carcloud.errors import InputError, TryLaterError
from carcloud.safety.flows import reader as rooms
from carcloud.safety.flows.flow import parse
from carcloud.safety.flows.reader import FlowReader, RefusedError
from tests.other_zone import Answer, OtherZone, other_zone, row

ROWS = [row("a" * 32, second, 1.5) for second in range(3)]
HEADERS = {"x-carcloud-next": "p1", "x-carcloud-more": "false"}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[OtherZone, str]]:
    with other_zone() as made:
        yield made


def ask(served: tuple[OtherZone, str], answer: Answer | None = None, limit: int = 100) -> rooms.Page:
    zone, url = served
    zone.say = None if answer is None else lambda _: answer
    with contextlib.closing(FlowReader(url, "research", zone.token)) as reader:
        return reader.page({"limit": limit})


def test_a_page_comes_with_its_units_and_place(served: tuple[OtherZone, str]) -> None:
    served[0].pages = [ROWS, ROWS]
    got = ask(served)
    assert (got.rows.num_rows, got.next, got.more, got.units["Vehicle.Speed"]) == (3, "p1", True, "km/h")


def test_a_wrong_token_is_refused_and_nobody_there_is_later(served: tuple[OtherZone, str]) -> None:
    with contextlib.closing(FlowReader(served[1], "research", "wrong")) as reader, pytest.raises(RefusedError):
        reader.page({"limit": 1})
    with contextlib.closing(FlowReader("http://127.0.0.1:1", "f", "t")) as reader, pytest.raises(TryLaterError):
        reader.page({"limit": 1})


def test_replicas_are_declared_and_part_of_what_the_file_says() -> None:
    text = "replicas:\n  from-cn: {from: 'https://cn.example/', flow: research-eu, token_file: cn.token}\n"
    flows = parse(text, "tests")
    (replica,) = flows.replicas
    assert (replica.url, replica.every_s, flows.flows) == ("https://cn.example", 60, {})
    assert flows.hash != parse(text.replace("research-eu", "other"), "tests").hash
    for wrong in ("every: 0", "every: true", "tenant: 'a b'", "ca: 5", "secret: x"):
        with pytest.raises(InputError):
            parse(text.replace("token_file", f"{wrong}, token_file"), "tests")
