"""An OpenID Connect provider as the zone speaks to it: discovery, code for token, and whether an ID token holds.

Rules:
* An ID token counts when a key of the provider signed it by a public-key algorithm, for this zone and this sign-in.
* Nothing is followed, and no answer is longer than it should be.

Source: OpenID Connect Core 1.0, sections 3.1.2, 3.1.3; Discovery 1.0; RFC 7636 (PKCE).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from carcloud.errors import TryLaterError
from carcloud.safety.people.accounts import StrangerError
from carcloud.safety.people.settings import OidcSettings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""None of these takes a shared secret, and `none` is not among them."""
TIMEOUT_S = 5.0
LIMIT_ANSWER_BYTES = 1_000_000
LEEWAY_S = 60
KEPT_S, ASKED_AGAIN_S = 3600.0, 30.0


class Provider:
    """One provider, asked when needed; what it says of itself is kept for an hour."""

    def __init__(self, settings: OidcSettings, secret: str, transport: httpx.BaseTransport | None = None) -> None:
        self.settings, self._secret = settings, secret
        self._client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, transport=transport)
        self._lock = threading.Lock()
        self._about: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def about(self) -> dict[str, Any]:
        """Return what the provider says of itself. Raise TryLaterError where it is away, or says it is another."""
        with self._lock:
            if self._about is None or time.monotonic() - self._about[0] > KEPT_S:
                issuer = self.settings.issuer
                found = self._json("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != issuer:
                    raise TryLaterError("The provider names another issuer.", "Set oidc.issuer as it writes it.")
                self._about = time.monotonic(), found
            return self._about[1]

    def exchange(self, code: str, verifier: str, redirect: str) -> str:
        """Return the ID token that a code stands for; raise StrangerError where it stands for none."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        about, auth = self.about(), None
        if "client_secret_basic" in about.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            auth = (quote_plus(self.settings.client_id), quote_plus(self._secret))
        else:
            form |= {"client_id": self.settings.client_id, "client_secret": self._secret}
        found = self._json("POST", about["token_endpoint"], form, auth)
        token = found.get("id_token")
        if not isinstance(token, str):
            raise StrangerError("The provider gave no ID token.", "Sign in again.")
        return token

    def claims(self, token: str, nonce: str) -> dict[str, Any]:
        """Return what an ID token says; raise StrangerError where it does not hold."""
        client = self.settings.client_id
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.settings.issuer},
            sub={"essential": True},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            said = self._decoded(token)
            rules.validate(said)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise StrangerError(f"The ID token does not hold: {type(error).__name__}.", "Sign in again.") from None
        several = isinstance(said["aud"], list) and len(said["aud"]) > 1
        if (several or "azp" in said) and said.get("azp") != client:
            raise StrangerError("The ID token is for somebody else.", "Sign in again.")
        return said

    def _decoded(self, token: str) -> dict[str, Any]:
        try:
            return jwt.decode(token, self._key_set(ASKED_AGAIN_S * 1e9), algorithms=ALGORITHMS).claims
        except (JoseError, ValueError):  # the provider may have a new key
            return jwt.decode(token, self._key_set(ASKED_AGAIN_S), algorithms=ALGORITHMS).claims

    def _key_set(self, age_s: float) -> KeySet:
        address = self.about()["jwks_uri"]
        with self._lock:
            if self._keys is None or time.monotonic() - self._keys[0] > min(age_s, KEPT_S):
                found = self._json("GET", address)
                signing = [key for key in found.get("keys", []) if key.get("use", "sig") == "sig"]
                self._keys = time.monotonic(), KeySet.import_key_set({"keys": signing})
            return self._keys[1]

    def _json(
        self, method: str, address: str, form: Mapping[str, str] | None = None, auth: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            with self._client.stream(method, address, data=form, auth=auth) as answer:
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > LIMIT_ANSWER_BYTES:
                        raise TryLaterError("The provider's answer is too long.", "See what answers there.")
                if answer.status_code == 400 and form is not None:
                    raise StrangerError("The provider does not take this code.", "Sign in again.")
                answer.raise_for_status()
                found = httpx.Response(200, content=body).json()
        except (httpx.HTTPError, ValueError) as error:
            message = f"The provider does not answer as it should: {type(error).__name__}."
            raise TryLaterError(message, "Try again; else sign in by a link.") from None
        if not isinstance(found, dict):
            raise TryLaterError("The provider's answer is no object.", "See what answers there.")
        return found
