"""Places and turns that tenants share: nobody takes all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carcloud.errors import TryLaterError
from carcloud.lake.asker import still_open
from carcloud.lake.places import Places, Words
from carcloud.lake.turns import Turns
from carcloud.safety.grants.grant import Grain
from carcloud.safety.grants.reach import Part, Reach

WORDS = Words(("full", "Wait."), ("quota {}", "Wait."), ("own {}", "Wait."))


def test_one_caller_has_half_of_what_the_tenant_may_and_a_tenant_half_of_all() -> None:
    places = Places(8, WORDS)
    for _ in range(4):
        places.take("a", "one", None, several=False)
    with pytest.raises(TryLaterError, match="own 4"):
        places.take("a", "one", None, several=False)
    with pytest.raises(TryLaterError, match="full"):
        places.take("a", "two", None, several=True)
    with pytest.raises(TryLaterError, match="quota 4"):
        places.take("a", "two", 4, several=False)
    places.take("a", "two", None, several=False)
    places.give_back("a", "one")
    places.take("a", "one", None, several=False)
    assert places.taken == 5


def test_a_quota_of_one_is_one() -> None:
    places = Places(8, WORDS)
    places.take("a", "one", 1, several=True)
    with pytest.raises(TryLaterError, match="quota 1"):
        places.take("a", "one", 1, several=True)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")), max_size=80))
def test_a_tenant_that_has_none_always_gets_a_place_and_all_is_bounded(asked: list[tuple[str, str]]) -> None:
    places, has = Places(8, WORDS), dict.fromkeys("abcdef", 0)
    for tenant, caller in asked:
        try:
            places.take(tenant, caller, None, several=True)
        except TryLaterError:
            assert has[tenant] > 0
        else:
            has[tenant] += 1
    assert places.taken == sum(has.values()) <= 8 + len(has)
    assert max(has.values()) <= 4


async def _lined_up(turns: Turns, asked: str) -> list[str]:
    """Have each letter ask in this order, and return the order in which they had their turns."""
    order: list[str] = []

    async def one(tenant: str) -> None:
        async with turns.turn(tenant):
            order.append(tenant)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(tenant) for tenant in asked))
    return order


def run(work: Awaitable[list[str]]) -> str:
    async def whole() -> list[str]:
        return await work

    return "".join(asyncio.run(whole()))


def test_tenants_take_turns_however_much_one_asks() -> None:
    assert run(_lined_up(Turns(1, lambda: True), "aaaabbc")) == "abcabaa"
    assert "c" in run(_lined_up(Turns(2, lambda: True), "aaaaaaaabbbbbbbbc"))[:4]


def test_one_process_is_left_to_others_where_there_are_several() -> None:
    async def both(several: bool) -> int:
        turns, having, most = Turns(2, lambda: several), 0, 0

        async def one() -> None:
            nonlocal having, most
            async with turns.turn("a"):
                having += 1
                most = max(most, having)
                await asyncio.sleep(0.001)
                having -= 1

        await asyncio.gather(*(one() for _ in range(4)))
        return most

    assert asyncio.run(both(True)) == 1
    assert asyncio.run(both(False)) == 2


def test_who_leaves_while_waiting_or_in_turn_keeps_nothing() -> None:
    async def test() -> list[str]:
        turns = Turns(1, lambda: False)
        first, second = (asyncio.create_task(_stay(turns, tenant)) for tenant in "ab")
        await asyncio.sleep(0.001)
        second.cancel()
        await asyncio.sleep(0.001)
        first.cancel()
        third = asyncio.create_task(_stay(turns, "c"))
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
        return await _lined_up(turns, "abc")

    assert run(test()) == "abc"


async def _stay(turns: Turns, tenant: str) -> None:
    async with turns.turn(tenant):
        await asyncio.Event().wait()


def test_still_open_says_whether_anything_was_taken_away() -> None:
    one, other = Part("a", {"S": Grain()}), Part("b", {"S": Grain()})
    some = Reach("t", (one, other))
    assert still_open(some, Reach("t", (other, one)))
    assert still_open(some, Reach("t"))
    assert not still_open(some, Reach("t", (one,)))
    assert not still_open(some, Reach("t", (one, Part("b", {"S": Grain(5)}))))
    assert not still_open(Reach("t"), some)
    assert not still_open(Reach("t"), Reach("u"))
