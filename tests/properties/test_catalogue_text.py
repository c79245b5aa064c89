"""The catalogue's readers under any text."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import parse

PIECES = [
    "signals:",
    "\n  ",
    "A.B",
    ": ",
    "{",
    "}",
    "type",
    "float",
    "!!",
    "&a",
    "*a",
    "[",
    "]",
    ",",
    '"',
    "'",
    "min",
    "1",
    "<<",
    "?",
    "- ",
    "|",
    "\t",
]
KEYS = st.sampled_from(
    ["signals", "type", "datatype", "children", "min", "max", "unit", "allowed", "kind", "retired", "V", "S", "V.S"]
) | st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text() | st.binary())
def test_any_text_is_a_catalogue_or_an_input_error(text):
    with contextlib.suppress(InputError):
        parse(text, "f")


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_json_is_a_catalogue_or_an_input_error(tree):
    with contextlib.suppress(InputError):
        parse(tree, "f")
