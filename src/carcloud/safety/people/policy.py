"""Who may do what: Cedar policies in files one can read, decided by Cedar.

Rules:
* What no policy permits is denied; what one forbids stays denied, whatever others permit.
* A policy that fails while it is asked denies: a prohibition that cannot be worked out must not fall away.
* A zone may add a folder of its own policies. All are held to the schema before the zone starts.

Source: https://docs.cedarpolicy.com
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from cedarpy import Entities, PolicySet, Schema, is_authorized, is_authorized_batch, validate_policies

from carcloud.errors import InputError, MissingError
from carcloud.safety.people.caller import Caller

POLICIES = Path(__file__).parents[1] / "policies"
KEPT_ENTITIES = 4096
LIMIT_FILE_BYTES = 1_000_000

_MARKS = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;')


@dataclass(frozen=True)
class Resource:
    """What an act is on: all that a tenant has in the zone, one of its cars, or a flow out of the zone.

    readers: the ids of the tokens that were made for a flow.
    granted: whether some grant opens the car, or any, to whoever asks. owned: whether it is one that the zone gave.
    """

    kind: Literal["Zone", "Vehicle", "Flow"]
    id: str
    tenant: str
    readers: frozenset[str] = frozenset()
    granted: bool = False
    owned: bool = False


def zone_of(tenant: str, *, granted: bool = False) -> Resource:
    """Return all that a tenant has in the zone; `granted`: whether a grant opens any of it to whoever asks."""
    return Resource("Zone", tenant, tenant, granted=granted)


class Policies:
    """The policies in force. Open with `load`."""

    def __init__(self, policies: PolicySet, schema: Schema) -> None:
        self._policies = policies
        self.actions = frozenset(re.findall(r'^action "?(\w+)"?', str(schema), re.MULTILINE))

    @classmethod
    def load(cls, own: Path | None = None) -> Policies:
        """Read the policies, and those of the zone's own folder.

        Raises:
            InputError: a file holds no policies, or says what the schema does not know; it names file and line.
            MissingError: there is no such folder.
        """
        schema = Schema.from_str((POLICIES / "schema.cedarschema").read_text("utf-8"))
        files = sorted(POLICIES.glob("*.cedar"))
        if own is not None:
            if not own.is_dir():
                raise MissingError(f"There is no folder of policies {own}.", "Set `policies` to one, or leave it out.")
            files += sorted(own.glob("*.cedar"))
        text = "\n".join(_checked(file, schema) for file in files)
        return cls(PolicySet.from_str(text), schema)

    def allows(self, caller: Caller, action: str, resource: Resource, *, mfa: bool | None = None) -> bool:
        """Tell whether the caller may do this; `mfa` asks as if a second factor had been shown, or had not."""
        shown = caller.mfa if mfa is None else mfa
        answer = is_authorized(_request(caller, action, resource, shown), self._policies, _entities(caller, resource))
        return answer.allowed and not answer.diagnostics.errors

    def may(self, caller: Caller, *, mfa: bool | None = None, granted: bool = False) -> list[str]:
        """Return all that the caller may do in the zone; `mfa` as for `allows`, `granted` as for `zone_of`."""
        resource, actions = zone_of(caller.tenant, granted=granted), sorted(self.actions)
        shown = caller.mfa if mfa is None else mfa
        requests = [_request(caller, action, resource, shown) for action in actions]
        answers = is_authorized_batch(requests, self._policies, _entities(caller, resource))
        asked = zip(actions, answers, strict=True)
        return [action for action, answer in asked if answer.allowed and not answer.diagnostics.errors]


def _request(caller: Caller, action: str, resource: Resource, mfa: bool) -> dict[str, Any]:
    return {
        "principal": _principal(caller),
        "action": {"type": "Action", "id": action},
        "resource": {"type": resource.kind, "id": resource.id},
        "context": '{"mfa":true}' if mfa else '{"mfa":false}',
    }


def _principal(caller: Caller) -> dict[str, str]:
    kind, _, id_ = caller.id.partition(":")
    return {"type": "Person" if kind == "person" else "Token", "id": id_}


def _entities(caller: Caller, resource: Resource) -> Entities:
    return _known(json.dumps(_principal(caller)), caller.roles, caller.tenant, resource)


@lru_cache(KEPT_ENTITIES)
def _known(principal: str, roles: frozenset[str], tenant: str, resource: Resource) -> Entities:
    """Return caller and resource as Cedar knows them; the same two are asked about again and again."""
    parents = [{"type": "Role", "id": role} for role in sorted(roles)]
    uid = {"type": resource.kind, "id": resource.id}
    attributes: dict[str, Any] = {"tenant": resource.tenant}
    if resource.kind == "Flow":
        attributes["readers"] = [{"__entity": {"type": "Token", "id": id_}} for id_ in sorted(resource.readers)]
    if resource.kind == "Vehicle":
        attributes |= {"granted": resource.granted, "owned": resource.owned}
    if resource.kind == "Zone":
        attributes["granted"] = resource.granted
    return Entities.from_json_str(
        json.dumps(
            [
                {"uid": json.loads(principal), "attrs": {"tenant": tenant}, "parents": parents},
                {"uid": uid, "attrs": attributes, "parents": []},
            ]
        )
    )


def _checked(file: Path, schema: Schema) -> str:
    """Return a file's policies, checked one by one."""
    try:
        raw = file.read_bytes()
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as policies: {error}.", "Mend the file, or take it away.") from None
    if len(raw) > LIMIT_FILE_BYTES:
        raise InputError(f"{file} is larger than {LIMIT_FILE_BYTES} bytes.", "Divide it.")
    for line, statement in _statements(text):
        if said := _fault(statement, schema):
            do = "Mend it; schema.cedarschema has the words."
            raise InputError(f"{file}, the policy at line {line}: {said}.", do)
    return text


def _fault(statement: str, schema: Schema) -> str:
    """Return what is wrong with one policy, or nothing."""
    errors = validate_policies(statement, schema).errors
    if errors:
        return re.sub(r"^for policy `\w+`, ", "", errors[0].error)
    return "it is a template, which nothing here fills in" if PolicySet.from_str(statement).templates() else ""


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each policy with the line it begins in; what follows the last must be empty or comment."""
    begin = 0
    ends = [mark.end() for mark in _MARKS.finditer(text) if mark[0] == ";"]
    for end in [*ends, len(text)]:
        statement = text[begin:end]
        bare = re.sub(r"^(?:\s|//[^\n]*)+", "", statement)
        if bare:
            yield 1 + text[: begin + len(statement) - len(bare)].count("\n"), bare
        begin = end
