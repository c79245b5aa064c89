"""Who may do what, and which policies a zone does not start with."""

from pathlib import Path

import pytest

from carcloud.errors import InputError, MissingError
from carcloud.safety.people.caller import ROLES, Caller
from carcloud.safety.people.policy import POLICIES, Policies, Resource, zone_of

ZONE = zone_of("default")
CHANGES = {
    *("enrolVehicle", "renewVehicle", "rekeyVehicle", "quarantineVehicle", "releaseVehicle", "revokeVehicle"),
    *("retireVehicle", "makeClaim", "sendOrder"),
}


def caller(*roles: str, mfa: bool = False, id_: str = "person:a", tenant: str = "default") -> Caller:
    return Caller(id_, "A", frozenset(roles), tenant, mfa)


def test_every_policy_holds_to_the_schema_and_has_a_name() -> None:
    Policies.load()
    for file in POLICIES.glob("*.cedar"):
        text = file.read_text("utf-8")
        assert text.count("\n@id(") == text.count("\npermit (") + text.count("\nforbid ("), file.name


@pytest.mark.parametrize("mfa", [False, True])
def test_roles_are_kept_apart(policies: Policies, mfa: bool) -> None:
    may = {role: set(policies.may(caller(role, mfa=mfa))) for role in ROLES}
    assert not may["dpo"] & CHANGES
    assert not may["operator"] & {"sendOrder"}
    assert not {role for role in ROLES if "sendOrder" in may[role]} - {"fleet"}
    assert ("sendOrder" in may["fleet"]) == ("openQuarantine" in may["operator"]) == mfa
    raw = {"readVehicles", "readTwin", "queryLake", "readQuarantine", "openQuarantine"}
    assert not may["marketer"] & raw
    assert not may["analyst"] & (raw - {"queryLake"})
    assert not may["engineer"] & {"readQuarantine", "openQuarantine", "readPeople"}
    for guest in ("owner", "partner"):
        assert may[guest] == {"signIn", "signOut", "readSelf", "changeSelf"}
    assert {role for role in ROLES if "changePeople" in may[role]} == ({"operator"} if mfa else set())


def test_nobody_reaches_another_tenant_whatever_their_roles(policies: Policies) -> None:
    everything = caller(*ROLES, mfa=True)
    foreign = Resource("Vehicle", "c" * 16, "other")
    assert not [action for action in policies.actions if policies.allows(everything, action, foreign)]
    assert policies.allows(everything, "readTwin", Resource("Vehicle", "c" * 16, "default"))


def test_token_is_no_person(policies: Policies) -> None:
    may = set(policies.may(caller(*ROLES, mfa=True, id_="token:t")))
    assert not may & {"approve", "signIn", "signOut", "changeSelf"}
    machine = set(policies.may(caller("operator", id_="token:machine")))
    assert {"openQuarantine", "changePeople"} <= machine
    assert "changePeople" not in policies.may(caller("operator", id_="token:t"))
    assert not machine & {"sendOrder", "approve"}


def test_unknown_act_and_unknown_role_are_denied(policies: Policies) -> None:
    assert not policies.allows(caller(*ROLES, mfa=True), "doAnything", ZONE)
    assert not policies.allows(caller("root", mfa=True), "readStatus", ZONE)
    assert not policies.allows(caller('operator"', mfa=True), "readStatus", ZONE)


def test_own_folder_adds_and_forbids(tmp_path: Path) -> None:
    (tmp_path / "own.cedar").write_text(
        """
// More, and less.
@id("a") permit (principal in Role::"marketer", action == Action::"readTwin", resource);
@id("b") forbid (principal is Person, action == Action::"signIn", resource) unless { context.mfa }; // really
"""
    )
    own = Policies.load(tmp_path)
    assert own.allows(caller("marketer"), "readTwin", ZONE)
    assert not own.allows(caller("operator"), "signIn", ZONE)
    assert own.allows(caller("operator", mfa=True), "signIn", ZONE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('permit (principal, action == Action::"fly", resource);', 1),
        ('\n// fine; so far\npermit (principal, action, resource)\nwhen { principal.rank == "a;b" };', 3),
        ("permit (principal, action, resource);\n\n\nforbid (principal", 4),
        ('permit (principal, action, resource);\npermit (principal in Colour::"red", action, resource);', 2),
        ("this is no policy", 1),
        ("permit (principal == ?principal, action, resource);", 1),
    ],
)
def test_policy_that_does_not_hold_is_named_by_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "own.cedar").write_text(text)
    with pytest.raises(InputError, match=rf"own\.cedar, the policy at line {line}"):
        Policies.load(tmp_path)


def test_folder_that_is_none_and_file_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        Policies.load(tmp_path / "nowhere")
    (tmp_path / "own.cedar").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"own\.cedar"):
        Policies.load(tmp_path)
