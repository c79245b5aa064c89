"""What people change about themselves: their password and their second factor.

Rules:
* Whoever has a password shows it before anything changes: a session left open is not enough.
* A second factor takes effect when its first code was shown. One that is lost is taken back by an operator.
* A new password or second factor ends all sessions of the person but a fresh one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from carcloud.backends.records import Entry, Person
from carcloud.errors import ConflictError, InputError, NotAllowedError
from carcloud.safety.people import codes, passwords
from carcloud.safety.people.accounts import Accounts, SignedIn, factor_entry


class Own:
    """Changes a person makes to their own account."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts, self._records = accounts, accounts.records

    def set_password(self, held: SignedIn, present: str, new: str, address: str) -> SignedIn:
        """Set the person's password; return the session that goes on.

        Raises:
            NotAllowedError: the present password is wrong. InputError: the new one is none to keep.
            ThrottledError: too many attempts have failed.
        """
        person = held.person
        if person.password is not None:
            self._prove(person, present, address)
        return self._changed(held, "password", mfa=held.session.mfa, password=passwords.hashed(new, person.login))

    def begin_factor(self, held: SignedIn, password: str, address: str, zone: str) -> tuple[str, str]:
        """Begin a second factor; return its secret, and the address of it that an app reads."""
        person = held.person
        if person.password is None:
            raise ConflictError("A second factor stands behind a first.", "Set a password first.")
        if person.factor is not None and not held.session.mfa:
            raise NotAllowedError("There is a second factor already.", "Sign in with it to replace it.")
        self._prove(person, password, address)
        secret = codes.new_secret()
        sealed = self._accounts.seal.seal(secret.encode(), factor_entry(person.id))
        with self._records.transaction(writing=True) as db:
            self._records.people.change(db, person.id, factor_asked=sealed)
        return secret, codes.address(secret, person.login, zone)

    def confirm_factor(self, held: SignedIn, code: str, address: str) -> SignedIn:
        """Let the second factor take effect, by its first code; return a new session that has shown it."""
        person = held.person
        if person.factor_asked is None:
            raise ConflictError("No second factor waits to be confirmed.", "Begin one first.")
        with self._accounts.throttle.attempt(person.login, address, self._accounts.now()) as attempt:
            secret = self._accounts.seal.open(person.factor_asked, factor_entry(person.id)).decode()
            step = codes.step_of(secret, code, self._accounts.now())
            if step is None:
                raise InputError("The code is wrong.", "See that your clock is right, and send the code shown now.")
            attempt.succeeded = True
        return self._changed(
            held, "second factor", mfa=True, factor=person.factor_asked, factor_asked=None, factor_step=step
        )

    def remove_factor(self, held: SignedIn, password: str, code: str, address: str) -> SignedIn:
        """Remove the second factor, by password and code; return the session that goes on, without it."""
        person = held.person
        if person.factor is None:
            raise ConflictError("There is no second factor.", "Begin one to have one.")
        self._prove(person, password, address, code)
        return self._changed(held, "no second factor", mfa=False, factor=None, factor_asked=None)

    def _prove(self, person: Person, password: str, address: str, code: str | None = None) -> None:
        """Hold the password, and the code where one is asked for, against the person's; note what is wrong."""
        with self._accounts.throttle.attempt(person.login, address, self._accounts.now()) as attempt:
            if not passwords.fits(password, person.password):
                self._note_failure(person, "password")
                raise NotAllowedError("The password is wrong.", "Send your present password.")
            if code is not None and not self._accounts.use_code(person, code):
                self._note_failure(person, "code")
                raise NotAllowedError("The code is wrong, or was used already.", "Wait for the next one.")
            attempt.harmless = True

    def _note_failure(self, person: Person, way: str) -> None:
        actor = f"person:{person.id}"
        entry = Entry(actor, "changeSelf", actor, "failed", {"way": way}, tenant=person.tenant)
        self._accounts.denials.note(replace(entry, at=self._accounts.now()))

    def _changed(self, held: SignedIn, change: str, *, mfa: bool, **columns: Any) -> SignedIn:
        actor = f"person:{held.person.id}"
        with self._records.transaction(writing=True) as db:
            self._records.people.change(db, held.person.id, **columns)
            self._records.passes.close_sessions(db, held.person.id)
            entry = Entry(actor, "changePeople", actor, facts={"change": change}, tenant=held.person.tenant)
            self._records.audit.note(db, replace(entry, at=self._accounts.now()))
        person = self._records.people.get(held.person.id)
        return self._accounts.open_session(person, mfa=mfa, way="change", note=False)
