"""The zone as one object: where it is, who has cars in it, under which rules, on what it stands, what leaves and comes.

Rules:
* No secret, no path and nothing of any person: public keys by kind and id, addresses of other zones, counts of people.
* It is put together from what is in force when it is asked for, and kept nowhere.
* The tenant that the zone is run for sees all of it. Another sees itself and its own replicas: who else is here, what
  leaves and how many people are counted is not its own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from carcloud import __version__
from carcloud.assembly.governance import IN_FORCE
from carcloud.assembly.log_keys import known_keys
from carcloud.backends.nats_server import version
from carcloud.backends.records import Records
from carcloud.errors import CarcloudError
from carcloud.gateway.replicas.standing import Standing
from carcloud.safety.flows.flow import Flow, Flows
from carcloud.safety.flows.meter import Meter
from carcloud.safety.flows.names import Names
from carcloud.safety.flows.plan import Plan
from carcloud.safety.governance.policy import Policy, parse
from carcloud.safety.identity import Trust
from carcloud.safety.signer import key_id, load_public_key
from carcloud.settings import Folder, Settings, catalogue_in_force, flows_in_force, governance_in_force
from carcloud.vehicle.catalogue import Catalogue

LIMIT_VERSIONS = 100


def zone_object(settings: Settings, folder: Folder, records: Records, tenant: str | None = None) -> dict[str, Any]:
    """Return what a zone is, as plain values, to a tenant; None: whom it is run for. Waits for disk."""
    home = tenant in (None, settings.tenant)
    policy, catalogue = governance_in_force(settings, folder), catalogue_in_force(settings, folder)
    flows = flows_in_force(folder)
    meter = Meter(records, Names(folder.keys))
    return {
        "name": settings.zone,
        "region": settings.region,
        "version": __version__,
        "tenants": [
            {"name": one.name, "state": one.state} for one in records.tenants.all() if home or one.name == tenant
        ],
        "governance": _governance(folder, records, policy),
        "catalogue": {"hash": catalogue.hash, "signals": len(catalogue)},
        "backends": {"records": records.kind, "lake": "files", "broker": f"nats-server {version()}"},
        "keys": _keys(folder.keys),
        "log": [str(key) for key in _known(folder, settings)[:1]],
        "witnesses": [str(key) for key in _known(folder, settings)[1:]],
        "authorities": [_authority(name, found) for name, found in Trust(folder.keys).authorities().items()],
        "leaves": [_leaves(flow, flows, meter.now(), policy, catalogue) for flow in flows.leaving if home],
        "comes": [one for one in _comes(settings, records, flows) if home or one["tenant"] == tenant],
        "year": flows.year(meter.now()),
        "counted": [
            {"flow": each.flow, "class": each.kind, "people": each.people, "stop": each.stop, "limit": each.limit}
            for each in (meter.readings(flows) if home else ())
        ],
    }


def _governance(folder: Folder, records: Records, policy: Policy) -> dict[str, Any]:
    """Return the rule pack in force and the versions that are kept, the newest first; each is written when taken."""
    history = folder.path / "governance"
    since = {file.stem: datetime.fromtimestamp(file.stat().st_mtime, UTC) for file in history.glob("*.yaml")}
    kept = sorted(since, key=since.__getitem__, reverse=True)
    versions = [{"hash": one, "name": _name(folder, one), "since": _text(since[one])} for one in kept]
    known = records.get_meta(IN_FORCE) == policy.hash
    return {
        "name": policy.name,
        "hash": policy.hash,
        "intact": known,
        "since": _text(since.get(policy.hash)),
        "versions": versions[:LIMIT_VERSIONS],
    }


def _name(folder: Folder, hash_: str) -> str:
    try:
        return parse((folder.path / "governance" / f"{hash_}.yaml").read_bytes(), hash_).name
    except (OSError, CarcloudError):
        return ""


def _keys(keys: Path) -> list[dict[str, str]]:
    """Return the signer's public keys: for what each signs, and its id."""
    found = []
    for file in sorted(keys.glob("*.pub")):
        key = load_public_key(file)
        found.append({"signs": file.stem, "id": key_id(key), "public": key.public_bytes_raw().hex()})
    return found


def _known(folder: Folder, settings: Settings) -> list[Any]:
    try:
        return list(known_keys(folder, settings))
    except (CarcloudError, OSError):
        return []  # before the first checkpoint


def _authority(name: str, certificate: x509.Certificate) -> dict[str, Any]:
    print_ = certificate.fingerprint(hashes.SHA256()).hex()
    return {"name": name, "fingerprint": print_, "ends": _text(certificate.not_valid_after_utc)}


def _leaves(flow: Flow, flows: Flows, now: datetime, policy: Policy, catalogue: Catalogue) -> dict[str, Any]:
    plan = Plan(flow, policy, catalogue)
    return {
        "flow": flow.name,
        "to": flow.to,
        "purpose": flow.purpose,
        "why": flow.why,
        "classes": list(flow.classes),
        "signals": len(plan.signals),
        "rounded": sum(signal.exactness is not None for signal in plan.signals.values()),
        "pseudonym": flow.pseudonym,
        "time_s": flow.time_s,
        "needs_consent": plan.needs_consent,
        "until": None if flow.until is None else flow.until.isoformat(),
        "ended": flows.ended(flow, now),
    }


def _comes(settings: Settings, records: Records, flows: Flows) -> list[dict[str, Any]]:
    cars, found = records.replicas.counts(), []
    for replica in flows.replicas:
        standing = Standing.load(records.replicas.place(replica.name))
        found.append(
            {
                "replica": replica.name,
                "from": replica.url,
                "flow": replica.flow,
                "tenant": replica.tenant or settings.tenant,
                "every_s": replica.every_s,
                "cars": cars.get(replica.name, 0),
                "rows": standing.rows,
                "at": standing.at or None,
            }
        )
    return found


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
