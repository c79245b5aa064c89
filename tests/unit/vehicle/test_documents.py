"""Documents that are written to cost much are refused, not worked with."""

from __future__ import annotations

import pytest

from carcloud.errors import InputError
from carcloud.vehicle.document import load
from carcloud.vehicle.plans.documents import LIMIT_DOCUMENT_BYTES, documents


@pytest.mark.parametrize("number", ["9" * 5_000, "0x" + "f" * 5_000, "0b" + "1" * 50_000, "1" + ":59" * 2_000])
def test_a_number_that_is_too_long_is_refused(number: str) -> None:
    with pytest.raises(InputError, match="too great a number"):
        load(f"version: {number}")


def test_numbers_in_json_are_limited_alike() -> None:
    with pytest.raises(InputError, match="too great a number"):
        load('{"version": 1%s}' % ("0" * 400))
    assert load('{"version": -12, "share": 1.5e3}') == {"version": -12, "share": 1500.0}
    assert load("version: 0x1f\nyears: -12\nwhen: 1:30") == {"version": 31, "years": -12, "when": 90}


def test_a_plan_that_is_too_long_is_not_even_read() -> None:
    with pytest.raises(InputError, match="32 KiB"):
        documents("plan: a\n---\nplan: b  #" + "x" * LIMIT_DOCUMENT_BYTES)
