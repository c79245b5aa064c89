"""Settings of the zone that change with an act: the change and its note for the audit log stand both or neither."""

from __future__ import annotations

from collections.abc import Callable

from carcloud.backends.records import tables as t
from carcloud.backends.records.audit import Entry
from carcloud.backends.records.core import Records


def put_noted(records: Records, key: str, text: str, entry: Entry, act: Callable[[], None] = lambda: None) -> None:
    """Record a setting and note the act. `act` is done within: where it fails, nothing is recorded."""
    put = records.insert(t.meta).values(key=key, text=text)
    with records.transaction(writing=True) as db:
        db.execute(put.on_conflict_do_update(index_elements=["key"], set_={"text": text}))
        records.audit.note(db, entry)
        act()
