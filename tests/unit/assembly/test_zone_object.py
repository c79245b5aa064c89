"""The zone as one object: all that is asked of it, and no secret."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from carcloud.api.zone import Zone
from carcloud.assembly.flows import take_flows
from carcloud.assembly.governance import take_governance
from carcloud.assembly.records import open_records
from carcloud.assembly.zone import zone_object
from carcloud.backends.records import Tenant
from carcloud.cli.vehicles import app as vehicles
from carcloud.cli.zones import app
from carcloud.errors import InputError
from carcloud.safety.identity import Authority
from carcloud.safety.signer import Signer
from carcloud.settings import Folder, catalogue_in_force, load, load_policies

FLOWS = """
flows:
  out: {to: eu, purpose: research, why: So it is., classes: [operational], signals: [{paths: ["**"]}], time: 60}
replicas:
  from-cn: {from: "https://cn.example", flow: research-eu, token_file: /secret/place/cn.token, every: 30}
"""


@pytest.fixture
def zone(tmp_path: Path) -> tuple[Path, Folder]:
    (tmp_path / "flows.yaml").write_text(FLOWS)
    config, folder = tmp_path / "zone.toml", Folder(tmp_path / "data")
    config.write_text(f'zone = "fra"\nregion = "EU"\nflows = "{tmp_path}/flows.yaml"\n')
    settings = load(config)
    folder.make()
    Authority(folder.keys)
    Signer(folder.keys, folder.run)
    records, catalogue = open_records(settings, folder), catalogue_in_force(settings, folder)
    records.tenants.ensure("default", datetime.now(UTC))
    take_governance(settings, folder, records, catalogue, load_policies(settings))
    take_flows(settings, folder, records, catalogue)
    records.replicas.take("from-cn", {"a" * 32}, "default", datetime.now(UTC))
    records.close()
    return config, folder


def test_zone_shows_what_it_is_and_no_secret(zone: tuple[Path, Folder]) -> None:
    config, folder = zone
    made = CliRunner().invoke(app, ["zone", "show", "--json", "--data", str(folder.path), "--config", str(config)])
    assert made.exit_code == 0, made.output
    found = orjson.loads(made.output)
    Zone.model_validate(found)
    assert (found["name"], found["region"]) == ("fra", "EU")
    assert found["tenants"] == [{"name": "default", "state": "active"}]
    rules = found["governance"]
    assert (rules["name"], rules["intact"], len(rules["versions"])) == ("laboratory", True, 1)
    assert rules["since"].startswith("20")
    assert found["backends"]["records"] == "sqlite"
    assert {key["signs"] for key in found["keys"]} >= {"receipt", "checkpoint"}
    assert {one["name"] for one in found["authorities"]} >= {"root", "vehicle-ca", "server-ca"}
    assert [(one["flow"], one["to"], one["time_s"]) for one in found["leaves"]] == [("out", "eu", 60)]
    assert [(one["from"], one["cars"], one["rows"], one["at"]) for one in found["comes"]] == [
        ("https://cn.example", 1, 0, None)
    ]
    said = CliRunner().invoke(app, ["zone", "show", "--data", str(folder.path), "--config", str(config)]).output
    for text in (made.output, said):
        assert str(folder.path) not in text
        assert "/secret/place" not in text
        assert "PRIVATE" not in text
    assert "from-cn: research-eu from https://cn.example for default, 0 rows of 1 cars" in said
    assert "out: to eu for research, of all cars" in said
    listed = CliRunner().invoke(vehicles, ["vehicles", "--data", str(folder.path), "--config", str(config)]).output
    assert listed.split()[1::2] == ["replica", "from-cn"]


def test_zone_shows_every_version_of_its_rules_and_whether_the_file_was_changed(zone: tuple[Path, Folder]) -> None:
    config, folder = zone
    kept = next((folder.path / "governance").glob("*.yaml"))
    older = kept.with_name(f"{'0' * 64}.yaml")
    older.write_text(kept.read_text().replace("name: laboratory", "name: before"))
    os.utime(older, (0, 0))
    folder.governance.write_text(older.read_text())
    settings = load(config)
    records = open_records(settings, folder)
    rules = zone_object(settings, folder, records)["governance"]
    records.close()
    assert [(one["name"], one["since"][:4] == "1970") for one in rules["versions"]] == [
        ("laboratory", False),
        ("before", True),
    ]
    assert not rules["intact"]


def test_a_tenant_sees_itself_and_its_own_replicas_only(zone: tuple[Path, Folder], tmp_path: Path) -> None:
    config, folder = zone
    settings = load(config)
    records, catalogue = open_records(settings, folder), catalogue_in_force(settings, folder)
    records.tenants.add(Tenant("acme", "active", datetime.now(UTC)))
    own = '  to-acme: {from: "https://eu.example", flow: out, token_file: /secret/t, tenant: acme}\n'
    (tmp_path / "flows.yaml").write_text(FLOWS + own)
    take_flows(settings, folder, records, catalogue)
    home, acme = (zone_object(settings, folder, records, tenant) for tenant in ("default", "acme"))
    records.close()
    assert home["tenants"] == [{"name": "acme", "state": "active"}, {"name": "default", "state": "active"}]
    assert [len(home[part]) for part in ("leaves", "comes")] == [1, 2]
    assert acme["tenants"] == [{"name": "acme", "state": "active"}]
    assert [one["replica"] for one in acme["comes"]] == ["to-acme"]
    assert (acme["leaves"], acme["counted"]) == ([], [])
    assert acme["governance"] == home["governance"]
    assert "cn.example" not in orjson.dumps(acme).decode()


def test_replica_for_a_tenant_that_is_none_is_refused(zone: tuple[Path, Folder], tmp_path: Path) -> None:
    config, folder = zone
    (tmp_path / "flows.yaml").write_text(FLOWS.replace("every: 30", "tenant: nobody"))
    settings = load(config)
    records = open_records(settings, folder)
    with pytest.raises(InputError, match="no tenant of the zone"):
        take_flows(settings, folder, records, catalogue_in_force(settings, folder))
    records.close()
