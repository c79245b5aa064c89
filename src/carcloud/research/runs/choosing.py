"""Which scenarios a run is driven through: those that are named, of recordings, or where a query finds something."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from carcloud.errors import InputError
from carcloud.research.mining.mining import LIMIT_HITS, mine
from carcloud.research.mining.queries import Query, asked
from carcloud.research.store import Store


def chosen(
    store: Store, scenarios: Sequence[str], recordings: Collection[str], query: str, saved: Mapping[str, Query]
) -> tuple[list[str], str]:
    """Return the ids of the scenarios that are meant, and the text of the query that chose them.

    All of the store's are meant where none are named.

    Args:
        query: a query's name, or a condition; empty for none. saved: the queries that are known besides the shipped.

    Raises:
        InputError: the query is none, or finds too much.
    """
    if query:
        wanted = asked(query, saved)
        hits = mine(store, wanted, LIMIT_HITS, list(recordings) or None)
        if len(hits) == LIMIT_HITS:
            raise InputError(f"The query has {LIMIT_HITS} hits or more.", "Ask for something rarer.")
        return [*sorted({one.scenario for one in hits}), *scenarios], wanted.text
    if scenarios and not recordings:
        return list(scenarios), ""
    rows = store.scenarios()
    return [*(row.id for row in rows if not recordings or row.recording in recordings), *scenarios], ""
