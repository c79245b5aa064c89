"""`carcloud link`, `person` and `token`, beside a zone that does not run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile, new_zone_file
from carcloud.cli import app
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError
from carcloud.safety.people.secrets import kept
from carcloud.settings import Folder, Settings


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give a zone's folder."""
    folder = Folder(tmp_path / "data")
    folder.make()
    open_records(Settings(), folder).close()
    return folder


@pytest.fixture
def zone(folder: Folder) -> ZoneFile:
    """Give the file of a zone that seems to run."""
    zone = new_zone_file(Settings(), folder, free_ports=True)
    zone.write(folder.zone_file)
    return zone


def run(folder: Folder, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--data", str(folder.path)])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_person_is_added_listed_changed_suspended_and_reset(folder: Folder, zone: ZoneFile) -> None:
    added = run(folder, "person", "add", "ann", "--role", "engineer", "--role", "analyst", "--name", "Ann")
    id_, link, _ = added.splitlines()
    assert link.startswith(f"{zone.url}/?link=")
    listed = run(folder, "person", "list")
    assert [line.split()[2] for line in listed.splitlines()] == ["admin", "ann"]
    assert f"{id_}  active     ann                   analyst,engineer" in listed
    run(folder, "person", "roles", "ann", "--role", "operator")
    run(folder, "person", "suspend", "ann")
    assert "suspended  ann                   operator" in run(folder, "person", "list")
    with pytest.raises(ConflictError, match="suspended"):
        run(folder, "link", "--person", "ann")
    run(folder, "person", "suspend", "ann", "--lift")
    assert "/?link=" in run(folder, "person", "reset", "ann")
    records = open_records(Settings(), folder)
    with records.transaction(writing=True) as db:
        noted = db.exec_driver_sql("SELECT DISTINCT actor, action FROM audit_pending").all()
    records.close()
    assert [tuple(row) for row in noted] == [("machine", "changePeople")]


def test_link_is_for_the_local_administrator_or_who_is_named(folder: Folder, zone: ZoneFile) -> None:
    link = run(folder, "link").strip()
    records = open_records(Settings(), folder)
    with records.transaction(writing=True) as db:
        found = records.passes.use_link(
            db, kept(link.partition("?link=")[2]), records.people.all("default")[0].created_at
        )
    admin = records.people.by_login("admin")
    records.close()
    assert admin is not None
    assert (found, admin.password) == (admin.id, None)
    with pytest.raises(MissingError, match="person list"):
        run(folder, "link", "--person", "nobody")


def test_link_without_a_running_zone(folder: Folder) -> None:
    with pytest.raises(MissingError, match="No zone runs"):
        run(folder, "link")
    assert "does not run" in run(folder, "person", "add", "ann", "--role", "fleet")


def test_token_is_made_shown_once_listed_and_revoked(folder: Folder) -> None:
    made = run(folder, "token", "make", "night export", "--role", "analyst", "--days", "30")
    secret, rest = made.split("\n", 1)
    assert secret.startswith("cct_")
    listed = run(folder, "token", "list")
    assert secret not in listed
    assert "night export" in listed
    assert "valid until" in listed
    run(folder, "token", "revoke", rest.split(",")[0].strip())
    assert "revoked" in run(folder, "token", "list")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("person", "add", "ann", "--role", "root"), InputError),
        (("person", "add", "a b", "--role", "fleet"), ConflictError),
        (("person", "add", "admin", "--role", "fleet"), ConflictError),
        (("person", "suspend", "nobody"), MissingError),
        (("token", "make", "x", "--role", "fleet", "--days", "9999"), InputError),
        (("token", "revoke", "none"), MissingError),
    ],
)
def test_what_is_wrong_is_said(folder: Folder, arguments: tuple[str, ...], kind: type[CarcloudError]) -> None:
    with pytest.raises(kind) as failed:
        run(folder, *arguments)
    assert failed.value.do


def test_zone_does_not_start_with_broken_policies_and_says_where(tmp_path: Path) -> None:
    own = tmp_path / "policies"
    own.mkdir()
    (own / "own.cedar").write_text('\npermit (principal, action == Action::"fly", resource);')
    config = tmp_path / "zone.toml"
    config.write_text(f'policies = "{own}"')
    with pytest.raises(InputError, match=r"own\.cedar, the policy at line 2: unrecognized action"):
        run(Folder(tmp_path / "data"), "up", "--config", str(config), "--free-ports")


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ('issuer = "http://login.example.org"', "https"),
        ('issuer = "https://login.example.org"', "client_id"),
        ('issuer = "https://x"\nclient_id = "c"\nclient_secret_file = "s"\nroles = ["admins=root"]', "GROUP=ROLE"),
    ],
)
def test_provider_that_cannot_work_is_refused(tmp_path: Path, lines: str, what: str) -> None:
    config = tmp_path / "zone.toml"
    config.write_text(f"[oidc]\n{lines}\n")
    with pytest.raises(InputError, match=what):
        run(Folder(tmp_path / "data"), "up", "--config", str(config), "--free-ports")
