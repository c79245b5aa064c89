"""Making tenants: names, brands, quotas and overlays that are none are refused."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from carcloud.backends.records import Quotas, Records
from carcloud.errors import ConflictError, InputError
from carcloud.safety import tenants
from carcloud.safety.tenants import Wanted, create, own_signals, seen_by, with_overlays
from tests.stream import CATALOGUE

OVERLAY = """
Vehicle.Acme.Torque: {type: sensor, datatype: float, unit: Nm}
"""
ACME = Wanted("acme", "Acme Motors", "#1A2B3C", "AC", OVERLAY, Quotas(vehicles=3))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with contextlib.closing(Records.open(f"sqlite:///{tmp_path}/records.db")) as opened:
        yield opened


def made(records: Records, tmp_path: Path, wanted: Wanted = ACME) -> tenants.Made:
    return create(records, tmp_path / "keys", "default", CATALOGUE, wanted, "machine")


def test_a_tenant_begins_with_keys_of_its_own_and_an_operator(records: Records, tmp_path: Path) -> None:
    done = made(records, tmp_path)
    assert (done.tenant.colour, done.login, len(done.secret) > 20) == ("#1a2b3c", "acme-admin", True)
    key = tmp_path / "keys" / "tenants" / "acme" / "quarantine.key"
    assert key.stat().st_mode & 0o777 == 0o600
    (person,) = records.people.all("acme")
    assert (person.roles, person.tenant) == (frozenset({"operator"}), "acme")
    noted = [(entry.action, entry.tenant) for entry in records.audit.pending(9)]
    assert noted == [("changeTenants", "default"), ("changePeople", "acme"), ("changePeople", "acme")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": "../x"},
        {"name": ""},
        {"title": "<b>Acme</b>"},
        {"title": "x" * 81},
        {"title": "a\nb"},
        {"logo": "javascript:a"},
        {"logo": 'x" onload='},
        {"colour": "red"},
        {"colour": "#12345"},
        {"colour": "#123456;"},
        {"quotas": Quotas(streams=-1)},
        {"overlay": "{"},
        {"overlay": "x" * 300_000},
    ],
)
def test_what_is_no_tenant_is_refused_and_nothing_is_made(
    records: Records, tmp_path: Path, wrong: dict[str, object]
) -> None:
    wanted = replace(ACME, **wrong)  # type: ignore[arg-type]
    if wrong == {"logo": "javascript:a"}:  # letters only, and as many as a logo has: harmless as text
        assert made(records, tmp_path, wanted).tenant.logo == "javascript:a"
        return
    with pytest.raises(InputError) as refused:
        made(records, tmp_path, wanted)
    assert refused.value.do
    assert (records.tenants.all(), records.people.all("acme")) == ([], [])


def test_a_login_that_somebody_has_is_refused_as_one_that_is_none(records: Records, tmp_path: Path) -> None:
    made(records, tmp_path)
    said = set()
    for login in ("acme-admin", "ACME-ADMIN", "no login", "-x", "\ud800"):
        with pytest.raises(ConflictError) as refused:
            made(records, tmp_path, replace(ACME, name="beta", login=login))
        said.add((refused.value.message, refused.value.do))
    assert len(said) == 1
    assert "acme-admin" not in str(said) + "--login"[2:]
    assert "--" not in str(said)
    assert [one.name for one in records.tenants.all()] == ["acme"]


def test_an_overlay_adds_signals_that_others_neither_see_nor_may_bend(records: Records, tmp_path: Path) -> None:
    made(records, tmp_path)
    same = replace(ACME, name="beta", login="beta")
    made(records, tmp_path, same)
    bent = replace(ACME, name="gamma", login="gamma", overlay=OVERLAY.replace("Nm", "kW"))
    with pytest.raises(ConflictError, match="cannot become"):
        made(records, tmp_path, bent)
    with pytest.raises(ConflictError, match="signal of the zone"):
        made(records, tmp_path, replace(bent, overlay="Vehicle.Speed: {type: sensor, datatype: float, unit: km/h}"))
    found = records.tenants.all()
    zone, whose = with_overlays(CATALOGUE, found), own_signals(found)
    assert whose == {"Vehicle.Acme.Torque": frozenset({"acme", "beta"})}
    assert "Vehicle.Acme.Torque" in seen_by(zone, whose, "beta")
    assert set(seen_by(zone, whose, "default")) == set(CATALOGUE)


def test_the_home_tenant_is_not_suspended(records: Records) -> None:
    with pytest.raises(ConflictError, match="run for"):
        tenants.suspend(records, "default", "default", "machine")
