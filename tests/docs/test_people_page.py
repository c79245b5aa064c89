"""docs/people.md says of the roles what the policies say."""

from pathlib import Path

from carcloud.safety.people import throttle
from carcloud.safety.people.caller import ROLES, Caller
from carcloud.safety.people.policy import Policies, Resource, zone_of

PAGE = (Path(__file__).parents[2] / "docs/people.md").read_text("utf-8")
OF_EVERYBODY = {"signIn", "signOut", "readSelf", "changeSelf"}


def cell(policies: Policies, role: str, action: str) -> str:
    caller = Caller("person:a", "a", frozenset({role}), "default")
    for granted, words in ((False, ("yes", "code")), (True, ("granted", "granted, code"))):
        car = Resource("Vehicle", "car", "default", granted=granted, owned=granted)
        for resource in (zone_of("default", granted=granted), car):
            for mfa, word in zip((False, True), words, strict=True):
                if policies.allows(caller, action, resource, mfa=mfa):
                    return word
    return ""


def test_table_of_roles_is_what_the_policies_decide() -> None:
    policies = Policies.load()
    table = "| act | operator" + PAGE.split("| act | operator")[1].split("\n\n")[0]
    head, _, *rows = [[word.strip() for word in line.strip("|").split("|")] for line in table.splitlines()]
    assert head == ["act", *ROLES]
    said = {row[0].strip("`"): row[1:] for row in rows}
    acts = sorted(policies.actions - OF_EVERYBODY)
    wanted = {action: [cell(policies, role, action) for role in ROLES] for action in acts}
    rows_wanted = "\n".join(f"| `{action}` | {' | '.join(cells)} |" for action, cells in wanted.items())
    assert said == wanted, f"write into docs/people.md:\n{rows_wanted}"


def test_limits_of_signing_in_are_those_of_the_page() -> None:
    here, address, anywhere = throttle.HERE, throttle.ADDRESS, throttle.ANYWHERE
    text = " ".join(PAGE.split())
    assert f"{here.free} failures of a login from one address, {address.free} from an address" in text
    assert f"or {anywhere.free} of a login from anywhere" in text
    assert f"at most {here.longest_s // 60} minutes, {anywhere.longest_s} seconds for a login from anywhere" in text
