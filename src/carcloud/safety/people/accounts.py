"""Signing in and out, and who stands behind a session or token.

Rules:
* An unknown login and a wrong password get the same answer after the same time.
* A session ends 12 h after it began and after 2 h of silence; a sign-in makes a new one and ends the one before it.
* A suspended person, and a token whose maker is one, is a stranger from the next request on; so is everybody of a
  suspended tenant.
* Who came in, or failed to, is noted for the audit log; the login stands in the details, never in the log itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from carcloud.backends.records import Entry, Person, Records, Session
from carcloud.backends.records.people import FIRST
from carcloud.errors import ConflictError, NotAllowedError
from carcloud.safety.people import codes, passwords, secrets
from carcloud.safety.people.caller import Caller
from carcloud.safety.people.denials import Denials
from carcloud.safety.people.policy import Policies, zone_of
from carcloud.safety.people.throttle import Throttle, network
from carcloud.safety.seal import Seal

SESSION_LASTS, SESSION_IDLES = timedelta(hours=12), timedelta(hours=2)
TOUCH_AFTER = timedelta(minutes=1)
LIMIT_SESSIONS = 32
LIMIT_LOGIN = 64
LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
LINK_LASTS = timedelta(minutes=15)
SEAL = "people"
"""The name of the key under which second factors are sealed."""


class StrangerError(NotAllowedError):
    """Nobody stands behind the request, or not who it says."""

    status = 401


class CodeNeededError(StrangerError):
    """The password is right, and the second factor's code is missing or wrong."""

    code = "code_needed"


@dataclass(frozen=True)
class SignedIn:
    """A person who has just signed in. `secret`: what the browser keeps."""

    secret: str
    session: Session
    person: Person

    @property
    def caller(self) -> Caller:
        """Return the person as a caller."""
        return caller_of(self.person, mfa=self.session.mfa)


def caller_of(person: Person, *, mfa: bool) -> Caller:
    """Return a person as the policies and the audit log see them."""
    return Caller(f"person:{person.id}", person.name, person.roles, person.tenant, mfa)


def _now() -> datetime:
    return datetime.now(UTC)


class Accounts:
    """Lets people and programs in. All that is done here waits for disk or processor: call it in a thread."""

    def __init__(self, records: Records, policy: Policies, seal: Seal, clock: Callable[[], datetime] = _now) -> None:
        self.records, self.policy, self.seal, self.now = records, policy, seal, clock
        self.denials = Denials(records)
        self.throttle = Throttle(records)

    def sign_in(self, login: str, password: str, code: str, address: str, old: str = "") -> SignedIn:
        """Let a person in by password, and code where they have a second factor; end the session `old`.

        Raises:
            StrangerError: login or password is wrong, or the policies keep this person out.
            CodeNeededError: the code is missing or wrong.
            ThrottledError: too many attempts have failed.
        """
        login, now = login.strip().lower()[:LIMIT_LOGIN], self.now()
        with self.throttle.attempt(login, address, now) as attempt:
            person = self.records.people.by_login(login) if LOGIN.fullmatch(login) else None
            if (
                not passwords.fits(password, person.password if person else None)
                or person is None
                or person.state != "active"
            ):
                self._note_failure(login, address, person, "password")
                raise StrangerError("Login or password is wrong.", "Try again, or ask for a one-time link.")
            if person.factor is not None and not code:
                attempt.harmless = True
                raise CodeNeededError("The code of your second factor is wanted.", "Send it as `code`.")
            if person.factor is not None and not self.use_code(person, code):
                self._note_failure(login, address, person, "code")
                raise CodeNeededError("The code is wrong, or was used already.", "Wait for the next one.")
            attempt.succeeded = True
        return self.open_session(person, mfa=person.factor is not None, way="password", old=old)

    def sign_in_by_link(self, secret: str, address: str, old: str = "") -> SignedIn:
        """Let a person in by a one-time link. Raise StrangerError where it does not hold, or not any more."""
        with self.records.transaction(writing=True) as db:
            found = self.records.passes.use_link(db, secrets.kept(secret), self.now())
        person = self.records.people.get(found) if found else None
        if person is None or person.state != "active":
            self._note_failure("", address, person, "link")
            message = "This link was used already, has ended, or never was one."
            raise StrangerError(message, "Make another: `carcloud link` on the zone's machine.")
        return self.open_session(person, mfa=False, way="link", old=old)

    def open_session(self, person: Person, *, mfa: bool, way: str, old: str = "", note: bool = True) -> SignedIn:
        """Begin a session of a person whose identity is proven; raise StrangerError where the policies keep them out.

        way: how it was proven, for the audit log.
        """
        caller = caller_of(person, mfa=mfa)
        if not self.records.tenants.stands(person.tenant):
            why = {"way": way, "why": "suspended"}
            self.denials.note(Entry(caller.id, "signIn", caller.id, "denied", facts=why, tenant=person.tenant))
            raise StrangerError("Your tenant is suspended.", "Ask who runs the zone.")
        if not self.policy.allows(caller, "signIn", zone_of(person.tenant)):
            self.denials.note(Entry(caller.id, "signIn", caller.id, "denied", facts={"way": way}, tenant=person.tenant))
            raise StrangerError("The zone's policies do not let you in this way.", "Ask who runs the zone.")
        secret, now = secrets.new_secret(), self.now()
        session = Session(secrets.kept(secret), person.id, now, now, now + SESSION_LASTS, mfa)
        with self.records.transaction(writing=True) as db:
            if old:
                self.records.passes.close_session(db, secrets.kept(old))
            self.records.passes.open_session(db, session, LIMIT_SESSIONS - 1)
            if note:
                facts = {"way": way, "mfa": mfa}
                self.records.audit.note(
                    db, Entry(caller.id, "signIn", caller.id, facts=facts, tenant=person.tenant, at=now)
                )
        return SignedIn(secret, session, person)

    def by_session(self, secret: str) -> SignedIn | None:
        """Return who holds this session, or None where it has ended."""
        found = self.records.passes.session(secrets.kept(secret)) if secret else None
        if found is None:
            return None
        (session, person), now = found, self.now()
        if person.state != "active" or session.ends_at < now or session.used_at + SESSION_IDLES < now:
            return None
        if not self.records.tenants.stands(person.tenant):
            return None
        if session.used_at + TOUCH_AFTER < now:
            self.records.passes.touch_session(session.hash, now)
        return SignedIn(secret, session, person)

    def by_token(self, secret: str) -> Caller | None:
        """Return the program that holds this token, or None where it does not hold any more."""
        token = self.records.passes.token(secrets.kept(secret))
        if token is None or token.revoked_at is not None or token.ends_at < self.now():
            return None
        if not self.records.tenants.stands(token.tenant):
            return None
        roles = token.roles
        if token.person is not None:
            maker = self.records.people.get(token.person)
            roles = roles & maker.roles if maker.state == "active" else frozenset()
            if maker.state != "active":
                return None
        return Caller(f"token:{token.id}", token.name, roles, token.tenant, app=token.app)

    def sign_out(self, held: SignedIn) -> None:
        """End a session."""
        actor = f"person:{held.person.id}"
        with self.records.transaction(writing=True) as db:
            self.records.passes.close_session(db, held.session.hash)
            self.records.audit.note(db, Entry(actor, "signOut", actor, tenant=held.person.tenant, at=self.now()))

    def use_code(self, person: Person, code: str) -> bool:
        """Tell whether this is a fresh code of the person's second factor, and use it up."""
        if person.factor is None:
            return False
        secret = self.seal.open(person.factor, factor_entry(person.id)).decode()
        step = codes.step_of(secret, code, self.now())
        if step is None:
            return False
        with self.records.transaction(writing=True) as db:
            return self.records.people.use_step(db, person.id, step)

    def _note_failure(self, login: str, address: str, person: Person | None, way: str) -> None:
        known = f"person:{person.id}" if person else "zone"
        tenant = person.tenant if person else "default"
        details = {"login": login, "address": network(address)}
        entry = Entry("process:api", "signIn", known, "failed", {"way": way}, details, tenant, self.now())
        self.denials.note(entry)


def factor_entry(person: str) -> str:
    """Return what a person's sealed second factor is bound to."""
    return f"factor:{person}"


def first_person(records: Records, tenant: str, now: datetime) -> str:
    """Return the id of the local administrator, who is made at the first start, without a password."""
    found = records.get_meta(FIRST)
    if found:
        return found
    roles = frozenset({"operator"})
    person = Person(secrets.new_id(), tenant, "admin", "Local administrator", "active", now, roles=roles)
    with records.transaction(writing=True) as db:
        records.people.add_first(db, person)
        facts = {"roles": ["operator"], "why": "first start"}
        entry = Entry("machine", "changePeople", f"person:{person.id}", facts=facts, tenant=tenant, at=now)
        records.audit.note(db, entry)
    return person.id


def checked_login(records: Records, wanted: str) -> str:
    """Return a login that may be had.

    Logins are one namespace of all tenants: whether it is taken, or no login, is said alike, and of whom never.

    Raises:
        ConflictError: it may not.
    """
    login = wanted.strip().lower()
    if not LOGIN.fullmatch(login) or records.people.by_login(login) is not None:
        raise login_refused()
    return login


def login_refused() -> ConflictError:
    """Return the one refusal of a login."""
    do = "Choose another: 1 to 64 of a-z, 0-9 and . _ @ + -, a letter or digit first."
    return ConflictError("This login cannot be had.", do)


def make_link(records: Records, person: str, by: str, now: datetime, lasts: timedelta = LINK_LASTS) -> str:
    """Return the secret of a new one-time link that lets this person in; `by`: who makes it, for the audit log."""
    secret, tenant = secrets.new_secret(), records.people.get(person).tenant
    with records.transaction(writing=True) as db:
        records.passes.add_link(db, secrets.kept(secret), person, now + lasts, now)
        object_, facts = f"person:{person}", {"change": "link"}
        records.audit.note(db, Entry(by, "changePeople", object_, facts=facts, tenant=tenant, at=now))
    return secret
