"""What the pages say is so: links, commands, routes, causes, limits, settings and examples."""

import dataclasses
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from carcloud import __version__
from carcloud.api.app import describe
from carcloud.backends.delta import Table
from carcloud.cli.menu import COMMANDS, command
from carcloud.gateway import https
from carcloud.lake.rows import PARTITIONS, SCHEMA
from carcloud.lake.tables import TABLES
from carcloud.onboard.mapping import read_mapping
from carcloud.safety.governance.policy import BASES, CLASSES, packs
from carcloud.safety.governance.policy import parse as parse_policy
from carcloud.safety.governance.table import Table as GovernanceTable
from carcloud.settings import Folder, Settings, load
from carcloud.stream import guards
from carcloud.stream.consents import READ_EVERY_S
from carcloud.stream.intake import LIMIT_TABLES
from carcloud.stream.settings import FloodLimits
from carcloud.vehicle import batch
from carcloud.vehicle.catalogue import parse

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
WIRE = (ROOT / "docs/wire.md").read_text()
CORE = parse((ROOT / "src/carcloud/vehicle/core.yaml").read_bytes(), "core.yaml")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(text: str) -> list[list[str]]:
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if set(row[0].strip()) - {"-"}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_code_marks_exist(page):
    for name in re.findall(r"`((?:docs|examples|tests|src|bench|web)/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z][a-z0-9]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    use = re.compile(r"(?:^|`)make ([a-z][a-z0-9]*)", re.MULTILINE)
    named = {name for page in PAGES for name in use.findall(page.read_text())}
    assert {"demo", "test"} <= named <= targets


def test_version_has_its_changes_written_down():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_size_of_the_core_profile_is_true():
    for page in PAGES:
        for size in re.findall(r"core profile of (\d+)", page.read_text()):
            assert int(size) == len(CORE), page.name


# the wire


def test_refusal_causes_are_the_closed_set():
    rows = {row[0].strip("`"): row[1:] for row in cells(section(WIRE, "Refusals"))[1:]}
    assert rows.keys() == guards.CAUSES
    assert {cause for cause, row in rows.items() if row[0] == "row"} == set(guards.ROW_CAUSES)
    assert all(row[3] for row in rows.values())
    kept = {cause for cause, row in rows.items() if row[1] == "kept"}
    assert kept == guards.QUARANTINED


def test_header_fields_lie_where_the_page_says():
    sizes = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8, "4 bytes": 4, "8 bytes": 8}
    rows = [row for row in cells(section(WIRE, "The columns codec")) if row[0].isdigit()]
    at = 0
    for offset, kind, *_ in rows:
        assert int(offset) == at
        at += sizes[kind]
    assert at == batch.HEADER.size


def test_limits_are_true():
    rows = {row[0]: row[1] for row in cells(section(WIRE, "Limits"))}
    limits, flood = guards.TimeLimits(), FloodLimits()
    assert rows["payload, either codec"] == f"{batch.LIMIT_PAYLOAD_BYTES >> 10} KiB"
    assert rows["unpacked body"] == f"{batch.LIMIT_BODY_BYTES >> 20} MiB"
    assert rows["one text"].startswith(f"{batch.LIMIT_TEXT_BYTES >> 10} KiB")
    assert rows["rows of an id table"] == f"{batch.LIMIT_TABLE:,}"
    assert rows["time after reception"] == f"{limits.ahead_s / 60:.0f} minutes"
    assert rows["time before reception, measured samples"] == f"{limits.behind_days:.0f} days"
    assert rows["one car, in a second"] == f"{flood.messages_per_s:,} messages or {flood.bytes_per_s >> 20} MiB"
    assert f"at most {LIMIT_TABLES} new ones" in WIRE


def test_examples_on_the_wire_page_are_read():
    for text in blocks(WIRE, "json"):
        value = json.loads(text)
        if "samples" in value:
            assert batch.decode_json(text.strip().encode()).number == 7
        elif "number" in value:
            assert value["refused"].keys() <= guards.CAUSES
        else:
            assert batch.IdTable.parse(value.get("table", value))


def test_content_types_of_the_second_door_are_named():
    door = section(WIRE, "The second door")
    assert all(f"`{kind}`" in door for kind in (*https.BATCH_TYPES, https.EVENT_TYPE))
    assert f"within {https.ACK_TIMEOUT_S:.0f} s" in door


# the other pages


def test_tables_of_the_lake_page_are_the_lake_s():
    page = (ROOT / "docs/lake.md").read_text()
    assert [row[0].strip("`") for row in cells(page.split("## SQL")[0])[1:]] == TABLES["samples"].names
    others = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in cells(section(page, "SQL"))[1:]}
    assert others == {name: TABLES[name].names for name in ("signals", "vehicles")}


def test_example_mappings_on_pages_are_read(tmp_path):
    examples = blocks((ROOT / "docs/mapping.md").read_text(), "yaml")
    assert examples
    for text in examples:
        file = tmp_path / "mapping.yaml"
        file.write_text(text)
        assert read_mapping(file, {path: signal.unit for path, signal in CORE.items()}).signals


def test_mapping_keys_are_the_ones_the_reader_knows(tmp_path):
    page = (ROOT / "docs/mapping.md").read_text()
    source = (ROOT / "src/carcloud/onboard/mapping.py").read_text()
    known = set(re.findall(r"\.(?:take|texts)\(\s*\"(\w+)\"", source))
    named = set(re.findall(r"`(\w+)`|\{(\w+):|, (\w+): ", page))
    assert known <= {name for names in named for name in names}


def test_example_overlays_fit_the_core_profile():
    for file in (ROOT / "examples/overlays").iterdir():
        assert len(CORE.overlaid(parse(file.read_bytes(), file.name))) > len(CORE)


def test_overlay_on_the_operations_page_is_read():
    (text,) = blocks(section((ROOT / "docs/operations.md").read_text(), "The catalogue"), "yaml")
    assert yaml.safe_load(text)
    assert len(CORE.overlaid(parse(text, "overlay.yaml"))) > len(CORE)


def leaves(value, prefix=""):
    for entry in dataclasses.fields(value):
        inner = getattr(value, entry.name)
        if dataclasses.is_dataclass(inner):
            yield from leaves(inner, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, list(inner) if isinstance(inner, tuple) else inner


def test_configuration_table_has_every_key_with_its_default():
    page = (ROOT / "docs/operations.md").read_text()
    rows = cells(section(page, "Configuration"))[1:]
    assert {row[0].strip("`"): json.loads(row[1].strip("`")) for row in rows} == dict(leaves(Settings()))
    assert all(row[2] for row in rows)


def test_configuration_table_is_itself_a_configuration(tmp_path):
    page = (ROOT / "docs/operations.md").read_text()
    lines = [f"{row[0].strip('`')} = {row[1].strip('`')}" for row in cells(section(page, "Configuration"))[1:]]
    (tmp_path / "zone.toml").write_text("\n".join(lines))
    assert load(tmp_path / "zone.toml") == Settings()


def test_data_folder_table_names_what_the_zone_writes(tmp_path):
    folder = Folder(tmp_path)
    rows = cells(section((ROOT / "docs/operations.md").read_text(), "The data folder"))[1:]
    named = {name for row in rows for name in re.findall(r"`([\w.]+)/?`", row[0])}
    parts = {folder.keys, folder.run, folder.logs, folder.stream, folder.twin, folder.lake, folder.catalogue}
    parts |= {folder.credentials, folder.queues, folder.audit, folder.witness, folder.tenant}
    parts |= {folder.terminals.parent, folder.objects, folder.scratch}
    assert named == {part.name for part in parts} | {Path(folder.records(Settings())).name}


# commands and routes

PARTS = re.compile(r"carcloud ([a-z][a-z0-9-]*)((?: +[^|`\n#]+)?)")


def commands() -> list[tuple[str, str, str]]:
    """Return (page, command, the rest of its line) for every command named in code marks or shell blocks."""
    found = []
    for page in PAGES:
        text = page.read_text()
        shell = [line for block in blocks(text, "sh") for line in block.splitlines()]
        for line in [*re.findall(r"`([^`\n]+)`", text), *shell]:
            found += [
                (page.name, *match) for match in PARTS.findall(line.split("&&")[0]) if line.startswith("carcloud ")
            ]
    return found


def test_commands_and_options_on_pages_exist():
    assert len(commands()) > 20
    for page, name, rest in commands():
        assert name in COMMANDS, f"{page}: carcloud {name}"
        found = command(name)
        inner = re.match(r" *([a-z]+)\b", rest)
        if hasattr(found, "commands") and inner:
            found = found.commands.get(inner[1])
            assert found is not None, f"{page}: carcloud {name} {inner[1]}"
        known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for option in re.findall(r"(?<!\w)--[a-z][a-z0-9-]*", rest):
            assert option in known | {"--help"}, f"{page}: carcloud {name} {option}"


def test_every_command_is_on_the_operations_page():
    assert COMMANDS.keys() <= {name for page, name, _ in commands() if page == "operations.md"}


def test_options_of_drive_are_on_its_page():
    page = (ROOT / "docs/onboard.md").read_text()
    options = {option for parameter in command("drive").params for option in parameter.opts if option.startswith("--")}
    assert {option for option in options if f"`{option}" not in page} <= {"--help"}


def test_routes_on_pages_exist():
    known = {path.replace("{vehicle}", "{id}") for path in describe().openapi()["paths"]}
    known |= {"/v1/vehicles/{id}/batches", "/v1/est/enroll", "/v1/est/renew"}  # the doors for cars
    for page in PAGES:
        for route in re.findall(r"`(?:GET|POST) ([^` ?]+)`?", page.read_text()):
            assert route.replace("{https.url}", "") in known, f"{page.name}: {route}"


def test_lake_opens_in_polars_and_duckdb_as_the_page_shows(tmp_path, monkeypatch):
    table = Table(tmp_path / "carcloud-data/lake/samples", SCHEMA, PARTITIONS)
    at = datetime(2026, 2, 2, tzinfo=UTC)
    row = {"vehicle": "a", "signal": "Vehicle.Speed", "time": at, "value": 1.5, "provenance": "measured", "chunk": 1}
    rows = pa.Table.from_pylist([row], SCHEMA).drop_columns(PARTITIONS)
    file = table.write(("default", "2026-02-02"), rows, "first")
    table.commit([file], "lake/0", 1, {})
    monkeypatch.chdir(tmp_path)
    polars_way, duckdb_way, _spark_way = blocks((ROOT / "docs/lake.md").read_text(), "python")
    assert last_value(polars_way)["value"].to_list() == [1.5]
    assert last_value(duckdb_way) == [("Vehicle.Speed", 1)]


def last_value(code: str):
    """Run the lines and return the value of the last one."""
    *lines, last = code.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    return eval(last, names)


def test_governance_page_says_what_the_reader_knows():
    page = (ROOT / "docs/governance.md").read_text()
    (example,) = blocks(page, "yaml")
    policy = parse_policy(example, "docs/governance.md")
    assert GovernanceTable(policy, CORE).kept.any()
    rows = {row[0].strip("`"): row[1] for row in cells(page.split("## Choosing one")[0])[1:]}
    assert all(basis in rows["purposes"] for basis in BASES)
    assert all(kind in rows["class"] for kind in CLASSES)
    assert {row[0].strip("`") for row in cells(section(page, "Choosing one"))[1:]} == set(packs())
    assert f"again every {READ_EVERY_S:.0f} s" in page
