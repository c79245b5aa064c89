"""Tenants by the API: for the home tenant's operators with a second factor, and for the machine."""

from datetime import UTC, datetime

import httpx
from served import Zone

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
