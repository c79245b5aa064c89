"""Sign-in by an OpenID Connect provider: authorization code with PKCE, state and nonce.

Rules:
* What a sign-in began with is used up by its answer, in the browser that began it: an answer counts once.
* A person is known by issuer and subject, never by an e-mail address or a name, which a provider may give anew.
* Roles come from the provider's groups at each sign-in, where the settings say what they mean.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from carcloud.backends.records import Entry, Person
from carcloud.errors import CarcloudError, TryLaterError
from carcloud.safety.people import secrets
from carcloud.safety.people.accounts import Accounts, SignedIn, StrangerError
from carcloud.safety.people.provider import Provider
from carcloud.safety.people.register import LIMIT_NAME

LASTS = timedelta(minutes=10)
LIMIT_BEGUN = 10_000
LIMIT_SUBJECT = 255
FACTOR = "mfa"
"""The method (RFC 8176) by which a provider says that a second factor was shown."""


class Oidc:
    """Signs people in by a provider. Waits for disk and network: call it in a thread."""

    def __init__(self, accounts: Accounts, provider: Provider, tenant: str) -> None:
        self._accounts, self._records = accounts, accounts.records
        self._provider, self._tenant = provider, tenant

    @property
    def issuer(self) -> str:
        """Return who vouches."""
        return self._provider.settings.issuer

    def begin(self, redirect: str) -> tuple[str, str]:
        """Return where to send the browser, and what it must bring back beside the answer."""
        state, binding, nonce, verifier = (secrets.new_secret() for _ in range(4))
        about, now = self._provider.about(), self._accounts.now()
        content = {"nonce": nonce, "verifier": verifier, "redirect": redirect, "binding": secrets.kept(binding)}
        if not self._records.passes.begin(secrets.kept(state), content, now + LASTS, now, LIMIT_BEGUN):
            raise TryLaterError("Too many sign-ins are under way.", "Try again in a few minutes.")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._provider.settings.client_id,
            "redirect_uri": redirect,
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address: str = about["authorization_endpoint"]
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", binding

    def finish(self, answer: dict[str, str], binding: str, old: str = "") -> SignedIn:
        """Sign the person in for whom the provider answers; end the session `old`. Raise StrangerError."""
        try:
            said = self._said(answer, binding)
            person = self._person(said)
            if person.state != "active":
                raise StrangerError("You are suspended here.", "Ask who runs the zone.")
        except CarcloudError as error:
            facts = {"way": "oidc", "why": error.message}
            self._accounts.denials.note(Entry("process:api", "signIn", "zone", "failed", facts, tenant=self._tenant))
            raise
        methods = said.get("amr")
        mfa = isinstance(methods, list) and FACTOR in methods
        return self._accounts.open_session(person, mfa=mfa, way="oidc", old=old)

    def _said(self, answer: dict[str, str], binding: str) -> dict[str, Any]:
        """Return the claims behind an answer, once."""
        began = self._records.passes.end(secrets.kept(answer.get("state", "")), self._accounts.now())
        if began is None or not hmac.compare_digest(began["binding"], secrets.kept(binding)):
            raise StrangerError("This sign-in did not begin here, or was used already.", "Sign in again.")
        if answer.get("iss", self.issuer) != self.issuer:
            raise StrangerError("Another provider answered.", "Sign in again.")
        if "code" not in answer:
            said = re.sub(r"\W", "_", answer.get("error", "nothing"))[:40]
            raise StrangerError(f"The provider did not let you in ({said}).", "Sign in again.")
        token = self._provider.exchange(answer["code"], began["verifier"], began["redirect"])
        return self._provider.claims(token, began["nonce"])

    def _person(self, said: dict[str, Any]) -> Person:
        subject = said["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= LIMIT_SUBJECT:
            raise StrangerError("The ID token names nobody.", "Ask who runs the provider.")
        person = self._records.people.by_subject(self.issuer, subject)
        roles = self._roles(said)
        if person is not None and roles in (None, person.roles):
            return person
        now, change = self._accounts.now(), "roles" if person else "added"
        with self._records.transaction(writing=True) as db:
            if person is None:
                name = _printable(said.get("name") or said.get("preferred_username")) or "Somebody"
                id_, wanted = secrets.new_id(), roles or frozenset()
                login = f"{id_}@{urlsplit(self.issuer).hostname or 'provider'}"[:64]
                person = Person(id_, self._tenant, login, name, "active", now, self.issuer, subject, roles=wanted)
                self._records.people.add(db, person)
            else:
                self._records.people.set_roles(db, person.id, roles or ())
            facts = {"change": change, "way": "oidc", "roles": sorted(roles or ())}
            entry = Entry("process:api", "changePeople", f"person:{person.id}", facts=facts, tenant=self._tenant)
            self._records.audit.note(db, entry)
        return self._records.people.get(person.id)

    def _roles(self, said: dict[str, Any]) -> frozenset[str] | None:
        """Return the roles that somebody's groups mean, or None where roles are kept here."""
        settings = self._provider.settings
        if not settings.role_claim:
            return None
        groups = said.get(settings.role_claim, [])
        named = {groups} if isinstance(groups, str) else {group for group in groups if isinstance(group, str)}
        return frozenset(role for group, role in settings.meanings().items() if group in named)


def _printable(name: object) -> str:
    if not isinstance(name, str):
        return ""
    return "".join(sign for sign in name if sign.isprintable()).strip()[:LIMIT_NAME]
