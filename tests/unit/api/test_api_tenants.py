"""Tenants by the API: for the home tenant's operators with a second factor, and for the machine."""

import json
from datetime import UTC, datetime

import httpx
import pytest
from served import CARS, Zone

from carcloud.backends.records import Tenant
from carcloud.safety.people.register import Register

WANTED = {"name": "acme", "title": "Acme", "colour": "#1a2b3c", "logo": "AC", "quotas": {"vehicles": 2, "streams": 1}}


def test_a_tenant_is_made_changed_suspended_and_resumed(api: httpx.Client, zone: Zone) -> None:
    made = api.post("/v1/tenants", json=WANTED)
    assert made.status_code == 201, made.text
    assert made.json()["link"].startswith(f"{zone.url}/?link=")
    assert made.json()["tenant"]["quotas"]["vehicles"] == 2
    assert api.post("/v1/tenants", json=WANTED).status_code == 409
    assert api.post("/v1/tenants", json=WANTED | {"name": "<b>"}).status_code == 400
    assert api.post("/v1/tenants/acme/quotas", json={"queries": 3}).json()["quotas"]["vehicles"] is None
    assert api.post("/v1/tenants/acme/suspend").json()["state"] == "suspended"
    assert api.get("/v1/tenants/acme").json()["state"] == "suspended"
    assert api.post("/v1/tenants/acme/resume").json()["state"] == "active"
    assert [one["name"] for one in api.get("/v1/tenants").json()["tenants"]] == ["acme"]
    assert api.get("/v1/tenants/none").status_code == 404
    assert api.post("/v1/tenants/default/suspend").status_code == 409
    assert [subject for subject, _ in zone.notices].count("zone.tenant") == 4


def test_another_tenants_car_is_in_answer_and_audit_log_as_one_that_nobody_has(zone: Zone) -> None:
    zone.records.tenants.add(Tenant("acme", "active", datetime.now(UTC)))

    def tried(roles: list[str], car: str) -> list[object]:
        _, token = Register(zone.records).make_token(None, "test", roles, 1, "acme")
        said: list[object] = []
        with httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {token}"}, timeout=20) as client:
            before = len(zone.records.audit.pending(999))
            for path in ("", "/signals", "/identity", "/grants"):
                answer = client.get(f"/v1/vehicles/{car}{path}")
                said.append((answer.status_code, answer.text.replace(car, "~")))
            acts = zone.records.audit.pending(999)[before:]
        return [*said, [(one.action, one.object, one.outcome) for one in acts]]

    for roles in (["operator"], ["analyst"], ["partner"], ["dpo"]):
        assert tried(roles, CARS[0]) == tried(roles, "z" * 16)


SURROGATE = "\\ud800"
GRANT = f"/v1/vehicles/{CARS[0]}/grants"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("/v1/tenants", {"name": "zed"} | {field: "~"}) for field in ("name", "title", "colour", "logo", "overlay")),
        ("/v1/tenants", {"name": "zed", "login": "~"}),
        *(
            ("/v1/requests", {"kind": "access"} | {field: "~"})
            for field in ("kind", "vehicle", "reference", "received")
        ),
        ("/v1/requests/none/close", {"outcome": "refused", "why": "~"}),
        ("/v1/governance", {"text": "~"}),
        ("/v1/governance/check", {"text": "~"}),
        *((GRANT, {"grantee": "zone", "purpose": "operation"} | {field: "~"}) for field in ("grantee", "purpose")),
        (GRANT, {"grantee": "app:a", "purpose": "operation", "paths": ["~"]}),
        (GRANT, {"grantee": "app:a", "purpose": "operation", "commands": ["~"]}),
        (GRANT, {"grantee": "app:a", "purpose": "operation", "paths": ["Vehicle.Speed"], "precision": {"~": 1}}),
        (GRANT, {"grantee": "app:a", "purpose": "operation", "paths": ["Vehicle.Speed"], "precision": {"a": "~"}}),
        *(("/v1/people", {"login": "l", "name": "n", "roles": []} | {field: "~"}) for field in ("login", "name")),
        ("/v1/claims", {"vin": "~"}),
        ("/v1/claims", {"vin": "WBA99999999999999", "label": "~"}),
    ],
)
def test_text_that_utf8_cannot_say_is_refused_everywhere(
    api: httpx.Client, zone: Zone, path: str, body: dict[str, object]
) -> None:
    content = json.dumps(body).replace("~", SURROGATE)
    answer = api.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 403, 404, 409), answer.text
    assert answer.json()["error"]["do"]
    assert zone.records.tenants.all() == []


def test_operators_without_a_second_factor_and_of_other_tenants_change_none(zone: Zone) -> None:
    for name in ("default", "acme"):
        zone.records.tenants.add(Tenant(name, "active", datetime.now(UTC), "Acme", "#1a2b3c"))
    for tenant, reads in (("default", 200), ("acme", 403)):
        _, token = Register(zone.records).make_token(None, "test", ["operator"], 1, tenant)
        with httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {token}"}, timeout=20) as client:
            assert client.get("/v1/tenants").status_code == reads
            assert client.post("/v1/tenants/acme/suspend").status_code == 403
            assert client.post("/v1/tenants", json=WANTED).status_code == 403
            assert client.get("/v1/session").json()["brand"]["title"] == "Acme"
