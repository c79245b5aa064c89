"""Queries: conditions over features, with a line that says what they find. Some are shipped, others are saved.

Rules:
* A query's text is a condition as everywhere, over the catalogue of features.
* Where a text does not say `stale after`, a feature holds for HOLD_US: a road user that is not seen for longer is
  unknown. A feature that is null is unknown at once.
* A digest names what a query asks: its text and how long values hold.

Source: ISO 34504:2024, 5 (tags by scenery, environment and dynamic entities).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from carcloud.backends.records import Records
from carcloud.errors import InputError, MissingError
from carcloud.research.mining.catalogue import CATALOGUE
from carcloud.vehicle.conditions.condition import Condition
from carcloud.vehicle.conditions.text import parse
from carcloud.vehicle.document import load

HOLD_US = 1_500_000
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LIMIT_NAME = 64
LIMIT_ABOUT = 500
LIMIT_TAGS = 16
TAG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*){0,7}")
OTHERS = (
    "Lead.Track",
    "Conflict.Track",
    "Nearest.Pedestrian.Track",
    "Oncoming.Track",
    "Nearest.Bicycle.Track",
    "Nearest.Vehicle.Track",
    "Left.Track",
    "Right.Track",
    "Behind.Track",
)
"""Who a condition is about besides, in this order where it asks about several."""


@dataclass(frozen=True)
class Query:
    """A query.

    Args:
        name: small letters, digits and hyphens; empty where it is only asked once.
        text: the condition.
        about: one line, what it finds.
        tags: of the scenarios in which it finds something, from wide to narrow with dots: `dynamic.lead.cut-in`.
        other: the feature that says whom it is about besides; empty where nobody.
    """

    name: str
    text: str
    about: str = ""
    tags: tuple[str, ...] = ()
    other: str = ""

    @cached_property
    def condition(self) -> Condition:
        """Return what the text says; raise ConditionError where it says nothing."""
        return parse(self.text, CATALOGUE, HOLD_US)

    @cached_property
    def digest(self) -> str:
        """Return 20 hex digits of a SHA-256 over what is asked."""
        return hashlib.sha256(f"{self.text}\n{self.condition.stale_us}".encode()).hexdigest()[:20]


def asked(text: str, saved: Mapping[str, Query] | None = None) -> Query:
    """Return the query of a name, or one that is asked once where the text is a condition.

    Raises:
        MissingError: there is no query of that name.
        ConditionError: the text is no condition.
    """
    if NAME.fullmatch(text):
        return named(text, saved or {})
    query = Query("", text)
    return Query("", text, other=_other(query.condition))


def checked(query: Query) -> Query:
    """Return a query with whom it is about besides.

    Raises:
        InputError: its name, its line, a tag or its condition will not do.
    """
    if len(query.name) > LIMIT_NAME or not NAME.fullmatch(query.name):
        do = f"Use small letters, digits and hyphens, at most {LIMIT_NAME}: late-braking."
        raise InputError(f"{query.name[:LIMIT_NAME]!r} is no name of a query.", do)
    if len(query.about) > LIMIT_ABOUT or not query.about.isprintable():
        raise InputError(f"What a query finds is one line of at most {LIMIT_ABOUT} characters.", "Shorten it.")
    wrong = [tag for tag in query.tags if len(tag) > LIMIT_NAME or not TAG.fullmatch(tag)]
    if wrong or len(query.tags) > LIMIT_TAGS:
        do = f"Use at most {LIMIT_TAGS}, of small letters, digits and hyphens, with dots: dynamic.lead.cut-in."
        raise InputError(f"{(wrong or ['So many tags'])[0][:LIMIT_NAME]!r} is no tag.", do)
    if query.other and query.other not in OTHERS:
        raise InputError(f"{query.other[:LIMIT_NAME]} names no road user.", f"Use one of {', '.join(OTHERS)}.")
    return Query(query.name, query.text, query.about, query.tags, query.other or _other(query.condition))


@cache
def shipped() -> Mapping[str, Query]:
    """Return the queries that come along, by their names."""
    found = sorted(files("carcloud.research.mining").joinpath("queries").iterdir(), key=lambda one: one.name)
    return {
        one.name.removesuffix(".yaml"): read(one.name.removesuffix(".yaml"), one.read_text("utf-8"))
        for one in found
        if one.name.endswith(".yaml")
    }


def read(name: str, text: str) -> Query:
    """Read a query from YAML with `condition`, and `about`, `tags`, `other` where need be.

    Raises:
        InputError: it is none.
    """
    said = load(text)
    if not isinstance(said, dict) or not isinstance(said.get("condition"), str):
        raise InputError(f"{name}: no `condition`.", "Write `condition:` and a sentence after it.")
    unknown = sorted(str(key) for key in said if key not in ("condition", "about", "tags", "other"))
    if unknown:
        raise InputError(f"{name}: unknown {unknown[0]!r}.", "Known are condition, about, tags, other.")
    tags: Any = said.get("tags", [])
    if not isinstance(tags, list):
        raise InputError(f"{name}: `tags` is no list.", "Write them as [one.two, three].")
    about, other = str(said.get("about", "")), str(said.get("other", ""))
    return checked(Query(name, " ".join(said["condition"].split()), about, tuple(map(str, tags)), other))


def named(name: str, saved: Mapping[str, Query]) -> Query:
    """Return a query by its name, a saved one before one that is shipped.

    Raises:
        MissingError: there is none.
    """
    known = {**shipped(), **saved}
    if name not in known:
        raise MissingError(f"There is no query {name[:LIMIT_NAME]!r}.", f"Known are {', '.join(sorted(known))}.")
    return known[name]


def _other(condition: Condition) -> str:
    """Return whom a condition is about besides, by what it asks about."""
    for other in OTHERS:
        if any(path.startswith(other.removesuffix("Track")) for path in condition.paths):
            return other
    return ""


def saved_queries(records: Records, tenant: str) -> dict[str, Query]:
    """Return a tenant's saved queries by their names."""
    return {
        one.name: Query(one.name, one.text, one.about, one.tags, one.other) for one in records.queries.listed(tenant)
    }
