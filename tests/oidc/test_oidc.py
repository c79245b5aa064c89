"""Sign-in by a real OpenID Connect provider, and what attackers send in its stead."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from carcloud.safety.people.accounts import StrangerError
from carcloud.safety.people.provider import Provider
from carcloud.safety.people.settings import OidcSettings
from tests.oidc.conftest import SECRET
from tests.zone import RunningZone

BEGIN = "/v1/session/oidc"


@pytest.fixture
def browser(zone: RunningZone) -> Iterator[httpx.Client]:
    """A browser that follows nothing by itself."""
    with httpx.Client(base_url=zone.url, trust_env=False, timeout=20) as client:
        yield client


def answer_for(browser: httpx.Client, zone: RunningZone, who: str) -> str:
    """Begin a sign-in and let the provider sign somebody in; return the address it sends the browser to."""
    begun = browser.get(BEGIN)
    assert begun.status_code == 303, begun.text
    return walk(browser, f"{begun.headers['location']}&login_hint={who}", zone.url)


def walk(browser: httpx.Client, where: str, until: str) -> str:
    """Follow redirects as far as an address that begins like this."""
    for _ in range(8):
        answer = browser.get(where)
        assert answer.is_redirect, answer.text
        where = str(answer.next_request.url) if answer.next_request else ""
        if where.startswith(until):
            return where
    raise AssertionError(f"the provider leads to {where}")


def sign_in(browser: httpx.Client, zone: RunningZone, who: str) -> httpx.Response:
    return browser.get(answer_for(browser, zone, who))


def test_person_comes_in_with_roles_of_their_groups_and_is_known_by_subject(
    zone: RunningZone, browser: httpx.Client
) -> None:
    assert browser.get("/v1/session/ways").json()["oidc"].startswith("http://127.0.0.1:")
    done = sign_in(browser, zone, "ann")
    assert (done.status_code, done.headers["location"]) == (303, "/"), done.text
    ann = browser.get("/v1/session").json()
    assert (ann["roles"], ann["mfa"], ann["name"]) == (["engineer"], False, "ann of elsewhere")
    with httpx.Client(base_url=zone.url, trust_env=False, timeout=20) as again:
        assert sign_in(again, zone, "ann").status_code == 303
        assert again.get("/v1/session").json()["id"] == ann["id"]
    with httpx.Client(base_url=zone.url, trust_env=False, timeout=20) as other:
        assert sign_in(other, zone, "ben").status_code == 303
        ben = other.get("/v1/session").json()
    assert (ben["roles"], ben["mfa"]) == (["operator"], True)
    assert ben["id"] != ann["id"], "two people of one e-mail address"


def test_person_of_no_known_group_comes_in_and_may_nothing(zone: RunningZone, browser: httpx.Client) -> None:
    assert sign_in(browser, zone, "eve").status_code == 303
    eve = browser.get("/v1/session").json()
    assert (eve["roles"], set(eve["may"])) == ([], {"signIn", "signOut", "readSelf", "changeSelf"})
    assert browser.get("/v1/vehicles").status_code == 403


def test_suspended_person_stays_out(zone: RunningZone, browser: httpx.Client) -> None:
    sign_in(browser, zone, "mallory")
    id_ = browser.get("/v1/session").json()["id"].partition(":")[2]
    assert zone.client.patch(f"/v1/people/{id_}", json={"state": "suspended"}).status_code == 200
    assert sign_in(browser, zone, "mallory").status_code == 401


def test_answer_with_a_wrong_state_of_another_browser_or_again(zone: RunningZone, browser: httpx.Client) -> None:
    where = answer_for(browser, zone, "ann")
    query = {name: values[0] for name, values in parse_qs(urlsplit(where).query).items()}
    for wrong in (query | {"state": "x"}, {"code": query["code"]}, {}):
        assert browser.get(f"{BEGIN}/answer?{urlencode(wrong)}").status_code == 401
    with httpx.Client(base_url=zone.url, trust_env=False) as victim:  # signing a victim in as the attacker
        assert victim.get(where).status_code == 401
        assert "set-cookie" not in victim.get(where).headers
    assert browser.get(where).status_code == 401, "the state was used up"
    fine = answer_for(browser, zone, "ann")
    assert [browser.get(fine).status_code for _ in range(2)] == [303, 401]


def test_code_of_one_sign_in_in_the_answer_of_another(zone: RunningZone, browser: httpx.Client) -> None:
    first, second = answer_for(browser, zone, "ben"), answer_for(browser, zone, "ann")
    stolen = parse_qs(urlsplit(first).query)["code"][0]
    mixed = {name: values[0] for name, values in parse_qs(urlsplit(second).query).items()} | {"code": stolen}
    answer = browser.get(f"{BEGIN}/answer?{urlencode(mixed)}")
    assert answer.status_code == 401, "nonce and verifier bind a code to its sign-in"


def test_answer_of_another_provider_and_an_error(zone: RunningZone, browser: httpx.Client) -> None:
    where = answer_for(browser, zone, "ann")
    query = {name: values[0] for name, values in parse_qs(urlsplit(where).query).items()}
    answer = browser.get(f"{BEGIN}/answer?{urlencode(query | {'iss': 'https://evil.example'})}")
    assert answer.status_code == 401
    refused = parse_qs(urlsplit(answer_for(browser, zone, "ann")).query)["state"][0]
    said = browser.get(f"{BEGIN}/answer?state={refused}&error=<script>alert(1)</script>")
    assert said.status_code == 401
    assert "<script>" not in said.text


class Tokens:
    """ID tokens that the real provider gives, got by hand."""

    def __init__(self, issuer: str, redirect: str) -> None:
        self.issuer, self.redirect = issuer, redirect

    def provider(self, client: str = "carcloud", secret: str = SECRET) -> Provider:
        return Provider(OidcSettings(self.issuer, client, "unused"), secret)

    def get(self, client: str, secret: str, nonce: str) -> str:
        verifier = "v" * 64
        query = {"client_id": client, "response_type": "code", "scope": "openid", "redirect_uri": self.redirect}
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        query |= {"nonce": nonce, "state": "s", "code_challenge": challenge, "code_challenge_method": "S256"}
        with httpx.Client(trust_env=False, timeout=20) as browser:
            where = walk(browser, f"{self.issuer}/auth?{urlencode(query)}", self.redirect)
        code = parse_qs(urlsplit(where).query)["code"][0]
        return self.provider(client, secret).exchange(code, verifier, self.redirect)


@pytest.fixture(scope="module")
def tokens(issuer: str, api_port: int) -> Tokens:
    return Tokens(issuer, f"http://127.0.0.1:{api_port}/v1/session/oidc/answer")


def test_token_for_another_audience_or_another_nonce(tokens: Tokens) -> None:
    ours = tokens.get("carcloud", SECRET, "nonce-1")
    assert tokens.provider().claims(ours, "nonce-1")["sub"] == "ann"
    with pytest.raises(StrangerError, match="does not hold"):
        tokens.provider().claims(ours, "nonce-2")
    theirs = tokens.get("another", "a-secret-of-another", "nonce-1")
    with pytest.raises(StrangerError, match="does not hold"):
        tokens.provider().claims(theirs, "nonce-1")


def test_token_without_a_signature_or_of_a_shared_or_foreign_key(tokens: Tokens, issuer: str) -> None:
    ours = tokens.get("carcloud", SECRET, "n")
    head, body, signature = ours.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": kid}).encode()).rstrip(b"=").decode()
    public = json.dumps(httpx.get(f"{issuer}/jwks", trust_env=False).json()["keys"][0])
    changed = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "ben"}).encode()).rstrip(b"=").decode()
    forged = [
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{head}.{changed}.{signature}",
        f"{head}.{body}.",
        "",
        "x.y.z",
        jwt.encode({"alg": "HS256", "kid": kid}, claims, OctKey.import_key(SECRET * 2)),
        jwt.encode({"alg": "HS256", "kid": kid}, claims, OctKey.import_key(public)),
        jwt.encode({"alg": "RS256", "kid": kid}, claims, RSAKey.generate_key(2048)),
    ]
    for token in forged:
        with pytest.raises(StrangerError):
            tokens.provider().claims(token, "n")


def test_token_that_has_ended_is_for_several_or_names_another_issuer(tokens: Tokens) -> None:
    key = RSAKey.generate_key(2048, {"kid": "k", "use": "sig"})

    class Known(Provider):
        def _key_set(self, age_s: float) -> object:  # type: ignore[override]
            return key

    provider = Known(OidcSettings(tokens.issuer, "carcloud", "unused"), SECRET)
    good = {"iss": tokens.issuer, "sub": "ann", "aud": "carcloud", "exp": 9e9, "iat": 1, "nonce": "n"}

    def judge(**changes: object) -> dict[str, object]:
        claims = {name: value for name, value in (good | changes).items() if value is not None}
        return provider.claims(jwt.encode({"alg": "RS256", "kid": "k"}, claims, key), "n")

    assert judge()["sub"] == "ann"
    assert judge(aud=["carcloud", "another"], azp="carcloud")
    for change in (
        {"exp": 1},
        {"exp": None},
        {"aud": None},
        {"nonce": None},
        {"sub": None},
        {"iss": "https://evil.example"},
        {"aud": ["carcloud", "another"]},
        {"aud": ["carcloud", "another"], "azp": "another"},
        {"azp": "another"},
        {"nbf": 9e9},
    ):
        with pytest.raises(StrangerError):
            judge(**change)
