"""Tags of scenarios: what is in them, from wide to narrow, as ISO 34504 sorts scenarios.

Rules:
* `scenery` is where it happens, `dynamic` who moves how, `criticality` how near to a collision they came; these are
  told from features and from the tags of queries that find something. `source` is what the source says, in its words.
* There is no `environment`: no recording says what the weather was.

Source: ISO 34504:2024, 5.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from carcloud.research.mining.mining import LIMIT_HITS, hits_in
from carcloud.research.mining.queries import Query, shipped
from carcloud.research.store import Store

FEW = 10
"""From this number of road users on a scenario is `dynamic.traffic.dense`."""


def tags(
    store: Store, scenarios: Collection[str] | None = None, queries: Mapping[str, Query] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the tags of scenarios, of all where None, by their ids.

    Args:
        queries: whose tags are given; those that are shipped where None.
    """
    rows = [row for row in store.scenarios() if scenarios is None or row.id in scenarios]
    found: dict[str, set[str]] = {row.id: {f"source.{_word(tag)}" for tag in row.tags} for row in rows}
    for row in rows:
        found[row.id] |= {"scenery.map"} if row.map is not None else set()
        found[row.id] |= {"dynamic.traffic.dense"} if row.tracks >= FEW else set()
    with store.session() as session:
        seen = "SELECT DISTINCT scenario, track_road, track_kind FROM features"
        for scenario, road, kind in session.execute(seen).fetchall():
            if scenario in found:
                found[scenario] |= {f"dynamic.{kind}"} | ({f"scenery.{road}"} if road else set())
        for query in (shipped() if queries is None else queries).values():
            for hit in hits_in(session, query, LIMIT_HITS, None, scenarios) if query.tags else ():
                found[hit.scenario].update(query.tags)
    return {scenario: tuple(sorted(some)) for scenario, some in found.items()}


def _word(tag: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", tag.lower()).strip("-")
