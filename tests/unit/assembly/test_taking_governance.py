"""A governance comes into force as an act, and nothing but a configuration that names another takes it out of force."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from carcloud.assembly.governance import IN_FORCE, UNREADABLE, change_governance, take_governance
from carcloud.backends.records import Records
from carcloud.backends.records.people import Person
from carcloud.errors import ConflictError
from carcloud.safety.governance.policy import Policy, pack
from carcloud.safety.people.policy import Policies
from carcloud.settings import Folder, Settings, catalogue_in_force, governance_in_force


class Zone:
    """A folder and its records."""

    def __init__(self, place: Path) -> None:
        self.folder, self.records = Folder(place / "data"), Records.open(f"sqlite:///{place}/records.db")
        self.folder.make()

    def take(self, name: str = "") -> str:
        settings = replace(Settings(), governance=name)
        return take_governance(
            settings, self.folder, self.records, catalogue_in_force(settings, self.folder), Policies.load()
        )

    @property
    def name(self) -> str:
        policy = governance_in_force(Settings(), self.folder)
        assert policy.hash == self.records.get_meta(IN_FORCE)
        return policy.name

    def noted(self) -> list[tuple[str | None, str]]:
        with self.records.transaction() as db:
            rows = db.execute(text("SELECT facts FROM audit_pending ORDER BY id")).all()
        return [(facts["from"], facts["to"]) for facts in (json.loads(row[0]) for row in rows)]


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    zone = Zone(tmp_path)
    yield zone
    zone.records.close()


def known(name: str) -> Policy:
    policy = pack(name)
    assert policy is not None
    return policy


EU, LABORATORY = known("eu").hash, known("laboratory").hash


def test_a_new_zone_without_a_word_is_a_laboratory(zone: Zone) -> None:
    assert zone.take() == ""
    assert zone.name == "laboratory"
    assert zone.noted() == [(None, LABORATORY)]


def test_a_start_that_names_none_keeps_the_one_in_force(zone: Zone) -> None:
    zone.take("eu")
    assert zone.take() == ""
    assert zone.name == "eu"
    assert "laboratory is in force now" in zone.take("laboratory")
    assert zone.name == "laboratory"
    assert zone.noted() == [(None, EU), (EU, LABORATORY)]


@pytest.mark.parametrize("configured", ["", "eu"])
@pytest.mark.parametrize(
    ("content", "before"), [("{no: [yaml", UNREADABLE), (known("laboratory").text, LABORATORY), (None, None)]
)
def test_a_file_changed_behind_its_back_is_taken_again(
    zone: Zone, content: str | None, before: str | None, configured: str
) -> None:
    zone.take("eu")
    if content is None:
        zone.folder.governance.unlink()
    else:
        zone.folder.governance.write_text(content)
    assert "eu is in force now" in zone.take(configured)
    assert zone.name == "eu"
    assert zone.noted()[1:] == ([(before, EU)] if before else [])


def test_where_the_kept_version_is_gone_or_changed_too_the_zone_does_not_guess(zone: Zone) -> None:
    own = known("eu").text.replace("name: eu", "name: own", 1)
    file = zone.folder.path.parent / "own.yaml"
    file.write_text(own)
    zone.take(str(file))
    zone.folder.governance.write_text("{no: [yaml")
    for kept in (zone.folder.path / "governance").iterdir():
        kept.write_text(known("laboratory").text)
    with pytest.raises(ConflictError, match="which is gone"):
        zone.take()
    assert "own is in force now" in zone.take(str(file))


def test_after_a_crash_before_the_records_knew_no_act_goes_from_itself_to_itself(zone: Zone) -> None:
    zone.take("laboratory")
    zone.folder.governance.write_text(known("eu").text)
    zone.take("eu")
    assert zone.name == "eu"
    assert zone.noted() == [(None, LABORATORY), (LABORATORY, EU)]


def test_where_two_people_can_decide_a_start_does_not(zone: Zone) -> None:
    zone.take()
    now = datetime.now(UTC)
    with zone.records.transaction(writing=True) as db:
        for login, role, factor in (("ann", "operator", b"sealed"), ("bob", "dpo", None), ("cem", "fleet", b"sealed")):
            person = Person(login, "default", login, login, "active", now, factor=factor, roles=frozenset({role}))
            zone.records.people.add(db, person)
    assert "eu is in force now" in zone.take("eu")  # bob has no second factor, and cem may not
    with zone.records.transaction(writing=True) as db:
        zone.records.people.change(db, "bob", factor=b"sealed")
    said = zone.take("laboratory")
    assert "asks for the governance laboratory; eu stays in force until two people decide" in said
    assert zone.name == "eu"
    assert zone.noted()[-1] == (LABORATORY, EU)


def test_what_two_people_decided_is_in_force_kept_and_noted_in_their_name(zone: Zone) -> None:
    zone.take()
    catalogue = catalogue_in_force(Settings(), zone.folder)
    change_governance(zone.folder, zone.records, catalogue, known("eu"), "person:ann", "default")
    assert zone.name == "eu"
    assert (zone.folder.path / "governance" / f"{EU}.yaml").exists()
    with zone.records.transaction() as db:
        assert db.execute(text("SELECT actor FROM audit_pending ORDER BY id DESC")).scalar() == "person:ann"
    assert zone.take() == ""
