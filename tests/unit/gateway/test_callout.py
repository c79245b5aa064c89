import base64
import json
import time
from pathlib import Path
from typing import Any

import nkeys
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carcloud.backends.records import Records
from carcloud.errors import InputError
from carcloud.gateway.clones import Coming
from carcloud.gateway.enrolment import Endpoints, Enrolment, change, enrol, revoke
from carcloud.gateway.gate import Gate
from carcloud.gateway.mqtt.callout import AccountKey, Callout
from carcloud.safety.identity import Authority

USER, SERVER = "UDQ7", "NCLY"
VIN = "WBA00000000000001"


@pytest.fixture
def key(tmp_path: Path) -> AccountKey:
    return AccountKey(tmp_path / "keys")


@pytest.fixture
def callout(records: Records, key: AccountKey) -> Callout:
    return Callout(Gate(records), key)


@pytest.fixture
def car(records: Records, authority: Authority, endpoints: Endpoints) -> Enrolment:
    return enrol(records, authority, VIN, endpoints)


def asked(car: Enrolment, **changes: Any) -> bytes:
    claims: dict[str, Any] = {
        "type": "authorization_request",
        "version": 2,
        "server_id": {"id": SERVER, "name": "test", "host": "127.0.0.1"},
        "user_nkey": USER,
        "client_info": {"type": "mqtt", "kind": "Client", "mqtt_id": car.vehicle.id},
        "client_tls": {"version": "1.3", "verified_chains": [[car.credentials.chain.decode()]]},
    } | changes
    body = base64.urlsafe_b64encode(json.dumps({"nats": claims}).encode()).rstrip(b"=")
    return b"header." + body + b".signature"


def read(token: str, key: AccountKey) -> dict[str, Any]:
    """Check a token as the broker does, and return its claims."""
    head, body, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    assert json.loads(head) == {"typ": "JWT", "alg": "ed25519-nkey"}
    public = nkeys.KeyPair(keys=None, public_key=key.public.encode())
    raw = base64.b32decode(public.public_key + b"=" * (-len(public.public_key) % 8))[1:33]
    nkeys.nacl.signing.VerifyKey(raw).verify(token.rpartition(".")[0].encode(), signature)
    claims: dict[str, Any] = json.loads(body)
    assert claims["iss"] == key.public
    return claims


def refusal(callout: Callout, key: AccountKey, request: bytes) -> str:
    claims = read(callout.answer(request).decode(), key)
    assert "jwt" not in claims["nats"]
    return str(claims["nats"]["error"])


def test_enrolled_car_is_granted_its_own_subjects_and_nothing_else(
    callout: Callout, key: AccountKey, car: Enrolment
) -> None:
    answer = read(callout.answer(asked(car)).decode(), key)
    assert (answer["sub"], answer["aud"], answer["nats"]["type"]) == (USER, SERVER, "authorization_response")
    grant = read(answer["nats"]["jwt"], key)
    own = f"cc.1.default.{car.vehicle.id}"
    assert (grant["sub"], grant["aud"]) == (USER, "VEHICLES")
    assert grant["nats"]["pub"] == {"allow": [f"{own}.up.batch", f"{own}.up.event", f"{own}.up.result"]}
    assert grant["nats"]["sub"] == {"allow": [f"{own}.dn", f"{own}.dn.>"]}
    assert grant["nats"]["allowed_connection_types"] == ["MQTT"]
    assert grant["nats"]["subs"] == 20


def test_quarantined_car_is_granted_its_hello_and_what_it_is_told(
    callout: Callout, key: AccountKey, records: Records, car: Enrolment
) -> None:
    change(records, car.vehicle.id, "quarantine", "machine")
    grant = read(read(callout.answer(asked(car)).decode(), key)["nats"]["jwt"], key)
    own = f"cc.1.default.{car.vehicle.id}"
    assert grant["nats"]["pub"] == {"allow": [f"{own}.up.event"]}
    assert grant["nats"]["sub"] == {"allow": [f"{own}.dn", f"{own}.dn.>"]}


def test_every_coming_is_told_with_its_address_and_certificate_and_no_refusal_is(
    records: Records, key: AccountKey, car: Enrolment
) -> None:
    seen: list[Coming] = []
    callout = Callout(Gate(records), key, lambda: 7.0, seen.append)
    client = {"type": "mqtt", "mqtt_id": car.vehicle.id, "host": "192.0.2.1"}
    callout.answer(asked(car, client_info=client))
    callout.answer(asked(car, client_info=client | {"mqtt_id": "another"}))
    assert seen == [Coming(car.vehicle.id, "192.0.2.1", car.credentials.serial, 7.0)]


def test_grants_end_after_hours_spread_and_never_after_the_certificate(
    records: Records, authority: Authority, endpoints: Endpoints, callout: Callout, key: AccountKey, car: Enrolment
) -> None:
    ends = [read(read(callout.answer(asked(car)).decode(), key)["nats"]["jwt"], key)["exp"] for _ in range(20)]
    now = time.time()
    assert all(now + 2 * 3600 - 60 < end < now + 4 * 3600 + 60 for end in ends)
    assert len(set(ends)) > 5
    late = Callout(Gate(records), key, lambda: car.credentials.not_after.timestamp() - 60)
    grant = read(read(late.answer(asked(car)).decode(), key)["nats"]["jwt"], key)
    assert grant["exp"] == int(car.credentials.not_after.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"client_tls": None},
        {"client_tls": {}},
        {"client_tls": {"verified_chains": []}},
        {"client_tls": {"verified_chains": [[]]}},
        {"client_tls": {"certs": ["unverified"], "verified_chains": None}},
    ],
)
def test_connection_without_a_verified_certificate_is_refused(
    callout: Callout, key: AccountKey, car: Enrolment, changes: dict[str, Any]
) -> None:
    assert "certificate" in refusal(callout, key, asked(car, **changes))


@pytest.mark.parametrize("kind", ["nats", "websocket", "", None])
def test_connection_that_is_not_mqtt_is_refused(callout: Callout, key: AccountKey, car: Enrolment, kind: str) -> None:
    client = {"type": kind, "mqtt_id": car.vehicle.id}
    assert "by MQTT" in refusal(callout, key, asked(car, client_info=client))


@pytest.mark.parametrize("client_id", ["", None, "{id}x", "{id}*", "another"])
def test_client_id_other_than_its_own_is_refused(
    callout: Callout, key: AccountKey, car: Enrolment, client_id: str | None
) -> None:
    client = {"type": "mqtt", "mqtt_id": client_id and client_id.format(id=car.vehicle.id)}
    assert "client id" in refusal(callout, key, asked(car, client_info=client))


def test_revoked_car_is_refused(callout: Callout, key: AccountKey, records: Records, car: Enrolment) -> None:
    callout.answer(asked(car))
    revoke(records, car.vehicle.id)
    callout.forget(car.vehicle.id)
    assert "revoked" in refusal(callout, key, asked(car))


def test_flooding_car_is_refused(callout: Callout, key: AccountKey, car: Enrolment) -> None:
    callout.refuse(car.vehicle.id, 30)
    assert "refused for 30 s" in refusal(callout, key, asked(car))


def test_refusal_carries_no_personal_data(callout: Callout, key: AccountKey, records: Records, car: Enrolment) -> None:
    revoke(records, car.vehicle.id)
    text = refusal(callout, key, asked(car))
    assert VIN not in text
    assert car.vehicle.id not in text


def test_refusal_tells_a_car_nothing_about_another(
    callout: Callout, key: AccountKey, records: Records, authority: Authority, endpoints: Endpoints, car: Enrolment
) -> None:
    other = enrol(records, authority, VIN[:-1] + "2", endpoints)
    for client_id in (other.vehicle.id, "nobody"):
        client = {"type": "mqtt", "mqtt_id": client_id}
        text = refusal(callout, key, asked(car, client_info=client))
        assert text == "The MQTT client id is not the certificate's vehicle id."


@pytest.mark.parametrize(
    "request_", [b"", b"a", b"a.b", b"a.!!.c", b"a.e30.c", b"a.W10.c", b"a." + base64.urlsafe_b64encode(b"{") + b".c"]
)
def test_what_is_no_request_is_not_answered(callout: Callout, request_: bytes) -> None:
    with pytest.raises(InputError, match="no authorization request"):
        callout.answer(request_)


@pytest.mark.parametrize("changes", [{"server_id": None}, {"client_info": None}, {"type": "other"}, {"server_id": {}}])
def test_request_with_parts_missing_is_not_answered(callout: Callout, car: Enrolment, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        callout.answer(asked(car, **changes))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.sampled_from(["server_id", "user_nkey", "client_info", "client_tls", "version"]), JSON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_forged_request_is_refused_or_not_answered_but_grants_nothing_else(
    callout: Callout, key: AccountKey, car: Enrolment, part: str, value: Any
) -> None:
    try:
        answer = read(callout.answer(asked(car, **{part: value})).decode(), key)
    except InputError:
        return
    if "jwt" in answer["nats"]:
        assert read(answer["nats"]["jwt"], key)["name"] == car.vehicle.id


def test_account_key_is_made_once_and_is_an_account(tmp_path: Path) -> None:
    first = AccountKey(tmp_path / "keys").public
    assert first == AccountKey(tmp_path / "keys").public
    assert first.startswith("A")
    assert len(first) == 56
