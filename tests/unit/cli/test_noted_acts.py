"""What is done beside the zone is noted as the machine's: whose signatures count, quarantine opened, data taken out."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.cli import app
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError
from carcloud.safety.identity import Authority
from carcloud.safety.orders.keys import certify
from carcloud.settings import Folder, Settings


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give a zone's folder with an order signer's."""
    folder = Folder(tmp_path / "data")
    folder.make()
    open_records(Settings(), folder).close()
    certify(folder.orders, Authority(folder.keys), "default")
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def noted(folder: Folder) -> list[tuple[str, str, dict[str, object]]]:
    records = open_records(Settings(), folder)
    with records.transaction() as db:
        rows = db.execute(text("SELECT actor, action, outcome, facts, details FROM audit_pending ORDER BY id")).all()
    records.close()
    assert all(row[0] == "machine" for row in rows)
    assert all("ann" not in row[3] and json.loads(row[4]) == {"name": "ann"} for row in rows)
    return [(row[1], row[2], json.loads(row[3])) for row in rows]


def test_whose_signatures_count_is_noted_without_the_name(folder: Folder, tmp_path: Path) -> None:
    at = ("--data", folder.path)
    key = run("operator", "add", "ann", "--role", "fleet", "--out", tmp_path / "ann.key", *at).split()[0]
    run("operator", "pair", "ann", "--role", "owner", "--vehicle", "a" * 26, *at)
    run("operator", "remove", "ann", *at)
    with pytest.raises(MissingError):
        run("operator", "remove", "ann", *at)
    assert noted(folder) == [
        ("changeOperators", "done", {"change": "add", "key": key, "roles": ["fleet"]}),
        ("changeOperators", "done", {"change": "pair", "roles": ["owner"]}),
        ("changeOperators", "done", {"change": "remove", "keys": [key], "roles": []}),
    ]


def test_whose_signatures_count_is_each_tenants_own(folder: Folder, tmp_path: Path) -> None:
    at = ("--data", folder.path)
    assert "acme is active" in run("tenant", "create", "acme", *at)
    of = (*at, "--tenant", "acme")
    run("operator", "pair", "ann", "--role", "fleet", *of)
    key = run("operator", "add", "ann", "--role", "fleet", "--out", tmp_path / "ann.key", *of).split()[0]
    assert key in run("operator", "list", *of)
    assert run("operator", "list", *at) == ""
    with pytest.raises(MissingError, match="No key"):
        run("operator", "remove", "ann", *at)
    with pytest.raises(MissingError, match="No tenant"):
        run("operator", "list", *at, "--tenant", "other")
    own = tmp_path / "own"
    run("operator", "init", "--keys", own, *of)
    for words in (("list",), ("init",)):
        with pytest.raises(ConflictError, match="of tenant acme"):
            run("operator", *words, "--keys", own, *at, "--tenant", "default")
    assert run("operator", "list", "--keys", own, *at) == ""
    records = open_records(Settings(), folder)
    with records.transaction() as db:
        rows = db.execute(text("SELECT tenant FROM audit_pending WHERE action = 'changeOperators'")).all()
    records.close()
    assert [row[0] for row in rows] == ["acme"] * 3


def test_a_change_that_failed_is_noted_as_such(folder: Folder) -> None:
    with pytest.raises(InputError):
        run("operator", "pair", "ann", "--role", "king", "--data", folder.path)
    assert [outcome for _, outcome, _ in noted(folder)] == ["done", "failed"]


def test_an_order_signer_without_a_zone_beside_it_says_that_nothing_is_noted(folder: Folder, tmp_path: Path) -> None:
    none = tmp_path / "none"
    words = ("operator", "pair", "ann", "--role", "fleet", "--data", none)
    assert "not in its audit log" in run(*words, "--keys", folder.orders)
    with pytest.raises(CarcloudError):
        run(*words, "--keys", folder.orders, "--config", none)
    assert noted(folder) == []
