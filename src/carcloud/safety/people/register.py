"""The people of a zone and its tokens, as those who run it change them.

Rules:
* Operators and data-protection officers watch each other: giving or taking these roles, any change to who has one, and
  any change of one's own roles take two people, once two operators are there. The first ones the machine's user makes.
* A token's roles are among its maker's, then and whenever it is used; it always ends.
* Whoever uses the command line beside the zone holds its files, and so needs no second person; it is noted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from carcloud.backends.records import ApiToken, Approval, Entry, Person, Records
from carcloud.errors import InputError, MissingError, NotAllowedError
from carcloud.safety.people import secrets
from carcloud.safety.people.accounts import checked_login, make_link
from carcloud.safety.people.approvals import Approvals
from carcloud.safety.people.caller import ROLES, Caller

WATCHED = frozenset({"operator", "dpo"})
LIMIT_NAME = 200
LIMIT_TOKENS = 200
TOKEN_DAYS = (1, 366)
MACHINE = "machine"
APP = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Change:
    """What is changed about a person; None leaves it as it is. `reset`: forget whatever lets them in.

    A reset person has no password, second factor, session, link or token any more.
    """

    name: str | None = None
    roles: frozenset[str] | None = None
    state: str | None = None
    reset: bool = False

    @property
    def shown(self) -> dict[str, Any]:
        """Return the change as an approver is shown it."""
        roles = None if self.roles is None else sorted(self.roles)
        shown = {"name": self.name, "roles": roles, "state": self.state, "reset": self.reset or None}
        return {name: value for name, value in shown.items() if value is not None}


def _now() -> datetime:
    return datetime.now(UTC)


class Register:
    """Changes people and tokens. Waits for disk: call it in a thread.

    approvals: None for the command line beside the zone.
    """

    def __init__(
        self, records: Records, approvals: Approvals | None = None, clock: Callable[[], datetime] = _now
    ) -> None:
        self._records, self._approvals, self._now = records, approvals, clock

    def add(
        self, by: Caller | None, login: str, name: str, roles: Iterable[str], tenant: str
    ) -> tuple[Person, str] | Approval:
        """Add a person; return them with the secret of a one-time link, or what waits for a second person."""
        login, wanted = checked_login(self._records, login), _roles(roles)
        asked = {"login": login, "name": _name(name), "roles": sorted(wanted)}
        if by is not None and wanted & WATCHED and (waits := self._second(by, "person:new", asked)):
            return waits
        now, actor = self._now(), by.id if by else MACHINE
        person = Person(secrets.new_id(), tenant, login, _name(name), "active", now, roles=wanted)
        with self._records.transaction(writing=True) as db:
            self._records.people.add(db, person)
            facts = {"change": "added", "roles": sorted(wanted)}
            self._records.audit.note(db, self._entry(actor, person, facts, {"login": login, "name": person.name}))
        return person, make_link(self._records, person.id, actor, now)

    def change(self, by: Caller | None, id_: str, change: Change) -> Person | Approval:
        """Change a person; return them as they are now, or what waits for a second person."""
        person = self._person(by, id_)
        if change.state not in (None, "active", "suspended"):
            raise InputError(f"A person is active or suspended, not {change.state!r}.", "Give one of the two.")
        columns: dict[str, Any] = {} if change.name is None else {"name": _name(change.name)}
        columns |= {} if change.state is None else {"state": change.state}
        columns |= {"password": None, "factor": None, "factor_asked": None} if change.reset else {}
        wanted = person.roles if change.roles is None else _roles(change.roles)
        if by is not None and self._takes_two(by, person, change, wanted):
            waits = self._second(by, f"person:{person.id}", change.shown)
            if waits:
                return waits
        with self._records.transaction(writing=True) as db:
            if columns:
                self._records.people.change(db, person.id, **columns)
            if wanted != person.roles:
                self._records.people.set_roles(db, person.id, wanted)
            if change.reset or change.state == "suspended":
                self._records.passes.close_sessions(db, person.id)
            if change.reset:
                self._records.passes.revoke_tokens(db, person.id, self._now())
            facts = {name: value for name, value in change.shown.items() if name != "name"}
            self._records.audit.note(db, self._entry(by.id if by else MACHINE, person, facts))
        return self._records.people.get(person.id)

    def link(self, by: Caller | None, id_: str, lasts: timedelta) -> str | Approval:
        """Return the secret of a new one-time link that lets a person in, or what waits for a second person."""
        person = self._person(by, id_)
        if by is not None and by.id != f"person:{person.id}" and person.roles & WATCHED:
            waits = self._second(by, f"person:{person.id}", {"link": True})
            if waits:
                return waits
        return make_link(self._records, person.id, by.id if by else MACHINE, self._now(), lasts)

    def make_token(
        self, by: Caller | None, name: str, roles: Iterable[str], days: int, tenant: str, app: str | None = None
    ) -> tuple[ApiToken, str]:
        """Make a token; return it with its secret, which is shown this once.

        Args:
            app: what it is made for, as grants name it; only who uses the command line beside the zone may say so.

        Raises:
            NotAllowedError: a token is asked for a role that its maker has not, or by a token.
        """
        wanted, now = _roles(roles), self._now()
        if by is not None and (not by.id.startswith("person:") or not wanted <= by.roles):
            raise NotAllowedError(
                "A token has roles of the person who makes it.", f"Ask for some of: {', '.join(sorted(by.roles))}."
            )
        if app is not None and not APP.fullmatch(app):
            raise InputError(f"{app[:64]!r} is no name of an app.", "Use 1 to 64 of a-z, 0-9 and . _ -.")
        if not wanted or not TOKEN_DAYS[0] <= days <= TOKEN_DAYS[1]:
            raise InputError(f"A token has a role and {TOKEN_DAYS[0]} to {TOKEN_DAYS[1]} days.", "Give both.")
        person = by.id.partition(":")[2] if by else None
        standing = [token for token in self._records.passes.tokens(tenant, person) if token.revoked_at is None]
        if len(standing) >= LIMIT_TOKENS:
            raise InputError(f"{LIMIT_TOKENS} tokens stand already.", "Revoke those that are not in use.")
        secret = secrets.new_secret(secrets.TOKEN_PREFIX)
        ends_at = now + timedelta(days=days)
        token = ApiToken(
            secrets.new_id(), secrets.kept(secret), _name(name), tenant, person, wanted, now, ends_at, app=app
        )
        with self._records.transaction(writing=True) as db:
            self._records.passes.add_token(db, token)
            facts = {"roles": sorted(wanted), "ends_at": ends_at.isoformat(timespec="seconds")}
            facts |= {} if app is None else {"app": app}
            actor = by.id if by else MACHINE
            self._records.audit.note(db, Entry(actor, "makeToken", f"token:{token.id}", facts=facts, tenant=tenant))
        return token, secret

    def revoke_token(self, by: Caller | None, id_: str, tenant: str) -> None:
        """End a token; raise MissingError where the tenant has no such token."""
        token = self._records.passes.token_by_id(id_)
        if token.tenant != tenant:
            raise MissingError(f"No token {id_!r}.", "List them with `carcloud token list`.")
        with self._records.transaction(writing=True) as db:
            self._records.passes.revoke_token(db, token.id, self._now())
            actor, facts = by.id if by else MACHINE, {"change": "revoked"}
            self._records.audit.note(db, Entry(actor, "makeToken", f"token:{token.id}", facts=facts, tenant=tenant))

    def _person(self, by: Caller | None, id_: str) -> Person:
        person = self._records.people.get(id_)
        if by is not None and person.tenant != by.tenant:
            raise MissingError(f"No person {id_!r}.", "List them with `carcloud person list`.")
        return person

    def _takes_two(self, by: Caller, person: Person, change: Change, wanted: frozenset[str]) -> bool:
        """Tell whether a change could make one person alone what two should be."""
        grave = change.reset or change.state is not None or wanted != person.roles
        own_roles = by.id == f"person:{person.id}" and wanted != person.roles
        return (grave and bool((person.roles | wanted) & WATCHED)) or own_roles

    def _second(self, by: Caller, object_: str, asked: Mapping[str, Any]) -> Approval | None:
        if self._approvals is None:
            return None
        everybody = self._records.people.all(by.tenant)
        if sum("operator" in one.roles and one.state == "active" for one in everybody) < 2:
            return None
        return self._approvals.require(by, "changePeople", object_, asked)

    def _entry(self, actor: str, person: Person, facts: dict[str, Any], details: dict[str, Any] | None = None) -> Entry:
        entry = Entry(actor, "changePeople", f"person:{person.id}", facts=facts, details=details, tenant=person.tenant)
        return replace(entry, at=self._now())


def _name(name: str) -> str:
    wanted = name.strip()
    if not 0 < len(wanted) <= LIMIT_NAME or not wanted.isprintable():
        raise InputError(f"A name has 1 to {LIMIT_NAME} printable characters.", "Give another.")
    return wanted


def _roles(roles: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(roles)
    unknown = sorted(wanted - set(ROLES))
    if unknown:
        raise InputError(f"There is no role {unknown[0]!r}.", f"Roles are: {', '.join(ROLES)}.")
    return wanted
