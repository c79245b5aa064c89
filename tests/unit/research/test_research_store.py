"""The store: all of a recording or nothing, once, and gone from the disk when it is dropped."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from carcloud.backends.delta import Table
from carcloud.errors import ConflictError, InputError, MissingError, TryLaterError
from carcloud.research import draft
from carcloud.research.scenario import Scenario
from carcloud.research.store import Added, Store
from tests.research import platoon, same


def files(folder: Path, recording: str = "*") -> list[Path]:
    return list(folder.glob(f"research/*/tenant=*/recording={recording}/*"))


def test_a_recording_is_added_once_and_its_scenarios_come_back(tmp_path: Path) -> None:
    store, some = Store(tmp_path), [platoon("a"), platoon("b", cars=2)]
    added = store.add("one", some)
    assert added == Added((some[0].id, some[1].id), 0)
    assert same(store.load(some[1].id), some[1])
    assert store.added("one") == Added(tuple(sorted(added.ids)), 0)
    with pytest.raises(ConflictError, match="already in"):
        store.add("one", [platoon("c", cars=5)])
    assert {row.name for row in store.scenarios()} == {"a", "b"}


def test_each_row_says_on_which_lane_it_is_and_what_conditions_see(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add("one", [platoon()])
    with store.session() as session:
        sql = """SELECT DISTINCT lane, d, track_speed, behind_gap
            FROM tracks JOIN features USING (scenario, track, step) WHERE track = 1 AND s = 500 + x"""
        assert session.execute(sql).fetchall() == [("1", 0.0, 20.0, 25.4)]


def test_a_scenario_that_is_known_is_counted_and_not_added(tmp_path: Path) -> None:
    store, one = Store(tmp_path), platoon("a")
    store.add("one", [one])
    renamed = replace(one, name="the same happening under another name")
    assert store.add("two", [renamed, platoon("b", cars=2), renamed]) == Added((platoon("b", cars=2).id,), 2)
    assert store.added("two") == Added((platoon("b", cars=2).id,), 2)
    assert [row.name for row in store.scenarios([one.id])] == ["a"]
    assert store.add("three", [one]) == Added((), 1)
    assert store.added("three") == Added((), 1)
    assert Store(tmp_path, "other").add("four", [one]).ids == (one.id,)


def test_scenarios_come_in_the_order_asked_for_also_from_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "ROWS_A_FILE", 100)
    store, some = Store(tmp_path), [platoon(f"p{cars}", cars=cars) for cars in range(1, 9)]
    ids = store.add("one", some).ids
    assert len(store.files("tracks")) > 3
    wanted = [ids[at] for at in (5, 0, 7, 3)]
    assert [one.id for one in store.loaded(wanted)] == wanted
    assert all(same(store.load(one.id), one) for one in some)
    with pytest.raises(MissingError):
        store.load("f" * 20)


def test_an_add_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "ROWS_A_FILE", 10)

    def broken() -> Iterator[Scenario]:
        yield platoon()
        raise InputError("The file ends too early.")

    store = Store(tmp_path)
    with pytest.raises(InputError):
        store.add("one", broken())
    assert files(tmp_path) == []
    assert store.added("one") is None
    assert len(store.add("one", [platoon()]).ids) == 1


@pytest.mark.parametrize("table", ["lanes", "tracks", "scenarios"])
def test_a_crash_between_two_tables_shows_nothing_and_the_next_try_adds_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    exchange = Table.exchange

    def dying(self: Table, *about: object) -> None:
        if self.path.name == table:
            raise KeyboardInterrupt
        exchange(self, *about)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Table, "exchange", dying)
        patched.setattr(draft.Draft, "__exit__", lambda *_: None)  # as if killed: nobody cleans up
        with pytest.raises(KeyboardInterrupt):
            Store(tmp_path).add("one", [platoon()])
    assert Store(tmp_path).files("tracks") == []
    assert Store(tmp_path).add("one", [platoon()]) == Added((platoon().id,), 0)
    store = Store(tmp_path)
    with store.session() as session:
        counts = [session.execute(f"SELECT count(*) FROM {name}").fetchone() for name in ("tracks", "lanes")]
    assert counts == [(60,), (2,)]
    assert len(files(tmp_path)) == 4


def test_what_is_dropped_is_gone_from_the_disk_and_stays_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add("one", [platoon("secret", cars=4)])
    store.add("two", [platoon("kept")])
    assert store.drop(["one"]) == 80 + 80 + 1 + 2
    assert files(tmp_path, "one") == []
    assert len(files(tmp_path, "two")) == 4
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"secret" in file.read_bytes()]
    assert store.added("one") is None
    with pytest.raises(ConflictError, match="taken out"):
        store.add("one", [platoon("secret", cars=4)])
    assert [row.name for row in store.scenarios()] == ["kept"]


def test_a_drop_that_is_repeated_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.add("one", [platoon()])
    with monkeypatch.context() as patched:
        patched.setattr(Table, "delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.drop(["one"])
    assert store.scenarios() == []
    assert files(tmp_path) != []
    assert Store(tmp_path).drop(["one", "two"]) == 123
    assert files(tmp_path) == []


def test_a_recording_dropped_while_it_is_added_does_not_come(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def erased_meanwhile() -> Iterator[Scenario]:
        yield platoon()
        Store(tmp_path).drop(["one"])

    with pytest.raises(ConflictError):
        store.add("one", erased_meanwhile())
    assert files(tmp_path) == []
    assert store.scenarios() == []


def test_of_two_that_bring_the_same_scenario_at_once_one_is_told_to_try_again(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def overtaken() -> Iterator[Scenario]:
        yield platoon()
        Store(tmp_path).add("two", [platoon()])

    with pytest.raises(TryLaterError):
        store.add("one", overtaken())
    assert store.add("one", [platoon()]) == Added((), 1)
    assert len(store.scenarios()) == 1


@pytest.mark.parametrize("recording", ["", "../escape", "a/b", "A", "a" * 65, "a=b"])
def test_an_id_that_leads_elsewhere_is_refused(tmp_path: Path, recording: str) -> None:
    with pytest.raises(InputError):
        Store(tmp_path).add(recording, [platoon()])
