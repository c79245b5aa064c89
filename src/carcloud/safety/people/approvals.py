"""Two people for the dangerous few acts: one asks, another approves, then the first may do it once.

Rules:
* The one who approves is a person with a second factor shown, who may approve and may do the act themselves, and who is
  not the one who asked, nor the maker of the token that asked.
* What is approved is one act on one object with one content; another content is another question.
* A question ends after a day, and so does an approval that is not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from carcloud.backends.records import Approval, Entry, Records
from carcloud.errors import MissingError, NotAllowedError
from carcloud.safety.people import secrets
from carcloud.safety.people.caller import Caller
from carcloud.safety.people.policy import Policies, zone_of

LASTS = timedelta(days=1)
LIMIT_OPEN = 50
"""How many questions of one asker may be open."""


def _now() -> datetime:
    return datetime.now(UTC)


class Approvals:
    """Asks for a second person, and hears what they say. Waits for disk: call it in a thread."""

    def __init__(self, records: Records, policy: Policies, clock: Callable[[], datetime] = _now) -> None:
        self._records, self._policy, self._now = records, policy, clock

    def require(self, caller: Caller, action: str, object_: str, asked: Mapping[str, Any]) -> Approval | None:
        """Return None where the caller may go on, once; else what now waits for a second person.

        object_: what the act is on, such as `person:ID` or `orders`. asked: all of the act that matters, as JSON can
        hold it and as the approver is shown it. Call it last before the act: an approval is used up by it.
        """
        now, digest = self._now(), digest_of(action, object_, asked)
        with self._records.transaction(writing=True) as db:
            standing = self._records.approvals.standing(db, caller.id, digest, now)
            if standing is not None and standing.state == "approved" and self._records.approvals.use(db, standing.id):
                return None
            if standing is None:
                standing = Approval(
                    secrets.new_id(), caller.tenant, action, object_, digest, asked, caller.id, now, now + LASTS
                )
                self._records.approvals.add(db, standing, now, LIMIT_OPEN)
                facts = {"approval": standing.id, "digest": digest, "why": "waits for a second person"}
                entry = Entry(caller.id, action, object_, "denied", facts, tenant=caller.tenant, at=now)
                self._records.audit.note(db, entry)
        return standing

    def decide(self, caller: Caller, id_: str, decision: Literal["approve", "refuse"]) -> Approval:
        """Approve or refuse what another asked.

        Raises:
            MissingError: there is no such question. ConflictError: it does not wait any more.
            NotAllowedError: the caller asked it, or may not do the act.
        """
        now, approval = self._now(), self._records.approvals.get(id_, self._now())
        if approval.tenant != caller.tenant:
            raise MissingError(f"No approval {id_!r}.", "List them with GET /v1/approvals.")
        if caller.id in (approval.asked_by, self._behind(approval.asked_by)):
            raise NotAllowedError("Nobody approves what they asked themselves.", "Let somebody else decide it.")
        if decision == "approve" and not self._policy.allows(caller, approval.action, zone_of(approval.tenant)):
            raise NotAllowedError("You may not approve what you may not do.", "Let somebody decide it who may.")
        state: Literal["approved", "refused"] = "approved" if decision == "approve" else "refused"
        with self._records.transaction(writing=True) as db:
            self._records.approvals.decide(db, id_, state, caller.id, now)
            facts = {"approval": id_, "digest": approval.digest, "decision": state, "action": approval.action}
            entry = Entry(caller.id, "approve", approval.object, facts=facts, tenant=caller.tenant, at=now)
            self._records.audit.note(db, entry)
        return self._records.approvals.get(id_, now)

    def deciders(self, action: str, tenant: str) -> int:
        """Return how many people of a tenant could sign in now, with a second factor, and do this."""
        count = 0
        for person in self._records.people.all(tenant):
            if person.state == "active" and person.factor is not None:
                caller = Caller(f"person:{person.id}", person.name, person.roles, tenant, mfa=True)
                count += self._policy.allows(caller, action, zone_of(tenant))
        return count

    def newest(self, tenant: str, limit: int) -> list[Approval]:
        """Return a tenant's newest questions, whatever became of them."""
        return self._records.approvals.newest(tenant, self._now(), limit)

    def _behind(self, asker: str) -> str | None:
        """Return the person whose token asked."""
        kind, _, id_ = asker.partition(":")
        if kind != "token" or id_ == "machine":
            return None
        maker = self._records.passes.token_by_id(id_).person
        return f"person:{maker}" if maker else None


def digest_of(action: str, object_: str, asked: Mapping[str, Any]) -> str:
    """Return what tells one question from another."""
    text = json.dumps([action, object_, asked], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
