"""The command line without a running zone: help, what it does to a folder, and how it says what is wrong."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import new_zone_file
from carcloud.backends.delta import Table
from carcloud.cli import app, demo
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, TryLaterError
from carcloud.lake.rows import PARTITIONS, SCHEMA, by_day, joined, part_of_chunk
from carcloud.safety.orders.keyring import load_key, new_key
from carcloud.safety.orders.people import People
from carcloud.safety.seal import Seals
from carcloud.safety.signer import Signer
from carcloud.settings import Folder, Settings
from carcloud.stream.intake import Refusal
from carcloud.stream.quarantine import Quarantine
from carcloud.stream.subjects import Origin
from tests.stream import CAR, NOW_US, OTHER, batch, chunk

COMMANDS = (
    *("up", "demo", "enrol", "renew", "revoke", "vehicles", "drive", "simulate", "sql", "export", "quarantine list"),
    *("quarantine show", "catalogue show", "catalogue check", "verify lake", "claim", "join", "identity"),
    *("vehicle quarantine", "vehicle release", "vehicle rekey", "vehicle retire"),
)
VIN = "1HGCM82633A004352"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def said(kind: type[CarcloudError], *arguments: object) -> str:
    """Run a command that must fail with this error, and return the sentence the user reads."""
    result = run(*arguments)
    assert isinstance(result.exception, kind), (result.output, result.exception)
    assert result.exception.do
    return str(result.exception)


def acts(data: Path) -> list[tuple[str, str, str]]:
    """Return what waits for the audit log: actor, action, object."""
    records = open_records(Settings(), Folder(data))
    found = [(act.actor, act.action, act.object) for act in records.audit.pending(100)]
    records.close()
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give a zone's folder with a car and a lake."""
    folder = Folder(tmp_path / "data")
    folder.make()
    assert run("enrol", "--vin", VIN, "--data", folder.path, "--label", "blue").exit_code == 0
    table = Table(folder.lake / "samples", SCHEMA, PARTITIONS)
    rows = [(car, "Vehicle.Speed", NOW_US + at, float(at), 0) for car in (CAR, OTHER) for at in range(3)]
    files = [
        table.write(("default", day), part, "0-1") for day, part in by_day(joined([part_of_chunk(chunk(1, rows))]))
    ]
    table.commit(files, "lake/0", 1, {})
    return folder.path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_known_error_is_one_sentence_and_exit_code_1(tmp_path):
    command = [sys.executable, "-m", "carcloud", "vehicles", "--data", str(tmp_path / "none")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("carcloud: There is no zone in ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        *(["vehicles"], ["revoke", CAR], ["quarantine", "list"], ["quarantine", "show", "abc"], ["sql", "select 1"]),
        *(["export", "--sql", "select 1", "--out", "x"], ["simulate"], ["verify", "lake"], ["enrol", "--vin", VIN]),
        *(["renew", CAR], ["drive", "x.csv", "--mapping", "x.yaml"]),
    ],
)
def test_where_there_is_no_zone_the_command_says_so_and_makes_none(arguments, tmp_path):
    (tmp_path / "other").mkdir(mode=0o755)
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    for place in (tmp_path / "none", tmp_path / "other"):
        sentence = said(MissingError, *arguments, "--data", place)
        assert sentence.startswith(f"There is no zone in {place}.")
        assert sentence.endswith(f"carcloud up --data {place}")
    assert [path.name for path in tmp_path.rglob("*")] == ["other", "thesis.txt"]
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o755


def test_a_car_of_its_own_needs_no_zone_beside_it(tmp_path):
    drive = ("drive", "x.csv", "--mapping", tmp_path / "x.yaml", "--credentials", tmp_path / "car")
    assert "x.yaml" in said(CarcloudError, *drive, "--data", tmp_path / "none")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_zone_begins_among_no_other_things(command, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    tmp_path.chmod(0o755)
    assert "thesis.txt lies there. Give a new or empty folder" in said(ConflictError, command, "--data", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis.txt"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_up_says_that_it_makes_a_folder(tmp_path):
    (tmp_path / "zone.toml").write_text("[listen]\nmqtt = 99999\n")  # so it ends before anything starts
    result = run("up", "--data", tmp_path / "data", "--config", tmp_path / "zone.toml")
    assert isinstance(result.exception, InputError)
    assert result.stderr == f"A new zone begins in {tmp_path / 'data'}, made for its owner only.\n"


@pytest.mark.parametrize("command", [["vehicles"], ["sql", "select 1"], ["enrol", "--vin", VIN]])
def test_a_configuration_that_is_not_there_is_said(command, data, tmp_path):
    assert "Check the path" in said(MissingError, *command, "--data", data, "--config", tmp_path / "none.toml")


def test_a_car_is_enrolled_listed_and_revoked(data):
    (line,) = run("vehicles", "--data", data).output.splitlines()
    vehicle, state, vin, *_, label = line.split()
    assert (state, vin, label) == ("active", VIN, "blue")
    place = data / "credentials" / vehicle
    assert sorted(path.name for path in place.iterdir()) == ["ca.pem", "vehicle.json", "vehicle.key", "vehicle.pem"]
    assert run("revoke", vehicle, "--data", data).output == f"{vehicle} is revoked\n"
    assert run("vehicles", "--data", data).output.split()[1] == "revoked"


def test_a_vin_that_is_none_or_taken_is_refused(data):
    said(InputError, "enrol", "--vin", "SHORT", "--data", data)
    said(ConflictError, "enrol", "--vin", VIN, "--data", data)
    assert len(run("vehicles", "--data", data).output.splitlines()) == 1


def test_a_car_without_credentials_is_not_enrolled(data, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "car", tmp_path / "file"):
        sentence = said(InputError, "enrol", "--vin", VIN.replace("1", "2"), "--data", data, "--out", out)
        assert f"cannot be written into {out}" in sentence
    assert len(run("vehicles", "--data", data).output.splitlines()) == 1
    again = run("enrol", "--vin", VIN.replace("1", "2"), "--data", data, "--out", tmp_path / "car")
    assert again.exit_code == 0, again.output


def test_a_refused_enrolment_leaves_no_credentials(data, tmp_path):
    said(ConflictError, "enrol", "--vin", VIN, "--data", data, "--out", tmp_path / "car")
    assert not (tmp_path / "car").exists()
    assert len(list((data / "credentials").iterdir())) == 1


def test_a_car_is_renewed_where_its_credentials_lie_or_elsewhere(data, tmp_path):
    vehicle = run("vehicles", "--data", data).output.split()[0]
    place = data / "credentials" / vehicle
    first = (place / "vehicle.pem").read_bytes()
    result = run("renew", vehicle, "--data", data)
    assert result.exit_code == 0
    assert result.output.startswith(f"{vehicle}\ncredentials in {place}, valid until ")
    second = (place / "vehicle.pem").read_bytes()
    assert run("renew", vehicle, "--data", data, "--out", tmp_path / "car").exit_code == 0
    assert len({first, second, (tmp_path / "car" / "vehicle.pem").read_bytes()}) == 3
    assert (place / "vehicle.pem").read_bytes() == second
    assert len(run("vehicles", "--data", data).output.splitlines()) == 1


def test_a_revoked_or_unknown_car_is_not_renewed(data, tmp_path):
    vehicle = run("vehicles", "--data", data).output.split()[0]
    assert "nobody" in said(MissingError, "renew", "nobody", "--data", data)
    run("revoke", vehicle, "--data", data)
    assert "revoked" in said(ConflictError, "renew", vehicle, "--data", data, "--out", tmp_path / "car")
    assert not (tmp_path / "car").exists()


def test_a_renewed_car_does_not_overwrite_another_s_credentials(data, tmp_path):
    assert run("enrol", "--vin", VIN.replace("1", "2"), "--data", data, "--out", tmp_path / "car").exit_code == 0
    other = (tmp_path / "car" / "vehicle.key").read_bytes()
    vehicle = next(line for line in run("vehicles", "--data", data).output.splitlines() if VIN in line).split()[0]
    assert "another car's" in said(ConflictError, "renew", vehicle, "--data", data, "--out", tmp_path / "car")
    assert (tmp_path / "car" / "vehicle.key").read_bytes() == other


def test_credentials_are_not_written_over_others(data, tmp_path):
    (tmp_path / "car").mkdir()
    (tmp_path / "car" / "vehicle.json").write_text("{}")
    assert "another folder" in said(ConflictError, "enrol", "--vin", VIN, "--data", data, "--out", tmp_path / "car")


def test_an_unknown_vehicle_cannot_be_revoked(data):
    assert "nobody" in said(MissingError, "revoke", "nobody", "--data", data)


def test_a_zone_that_was_killed_does_not_keep_a_car_from_being_revoked(data, monkeypatch):
    monkeypatch.setattr("carcloud.cli.notices.PATIENCE_S", 0.2)
    vehicle = run("vehicles", "--data", data).output.split()[0]
    folder = Folder(data)
    new_zone_file(Settings(), folder, free_ports=True).write(folder.zone_file)
    result = run("revoke", vehicle, "--data", data)
    assert isinstance(result.exception, TryLaterError)
    assert result.output == f"{vehicle} is revoked\n"
    assert run("vehicles", "--data", data).output.split()[1] == "revoked"


def test_sql_prints_a_table_and_says_when_it_is_cut(data):
    result = run("sql", "select vehicle, value from samples order by all", "--data", data, "--limit", 2)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["vehicle           value", f"{CAR}  0.0", f"{CAR}  1.0"]
    assert "cut at 2: raise --limit" in result.stderr
    counted = run("sql", "select count(*) as n, count(distinct vehicle) as cars from samples", "--data", data)
    assert counted.stdout.split() == ["n", "cars", "6", "2"]


@pytest.mark.parametrize(
    "text", ["selekt 1", "select nothing from samples", "select * from secrets", "drop table samples", ""]
)
def test_bad_sql_is_said(data, text):
    said(CarcloudError, "sql", text, "--data", data)


@pytest.mark.parametrize("name", ["parquet", "csv", "arrow"])
def test_an_export_holds_the_whole_answer(data, tmp_path, name):
    out = tmp_path / f"out.{name}"
    question = "select vehicle, time, value from samples order by vehicle, time"
    result = run("export", "--sql", question, "--format", name, "--out", out, "--data", data)
    assert result.output == f"6 rows in {out}\n"
    if name == "csv":
        rows = pa.csv.read_csv(out)
    else:
        rows = pq.read_table(out) if name == "parquet" else pa.ipc.open_file(out).read_all()
    assert rows["value"].to_pylist() == [0.0, 1.0, 2.0] * 2
    assert rows["time"][0].as_py().astimezone(UTC) == datetime.fromtimestamp(NOW_US / 1e6, UTC)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [out.name]
    assert out.stat().st_mode & 0o777 == 0o600
    assert acts(data)[-1] == ("machine", "exportLake", "lake")


def test_an_unknown_format_and_an_unwritable_place_are_said_and_nothing_stays_behind(data, tmp_path):
    common = ("export", "--sql", "select 1", "--data", data, "--out")
    assert "parquet, csv, arrow" in said(InputError, *common, tmp_path / "x", "--format", "xlsx")
    assert "cannot be written" in said(InputError, *common, tmp_path / "none" / "x")
    said(CarcloudError, "export", "--sql", "select nope", "--data", data, "--out", tmp_path / "x")
    assert not list(tmp_path.glob("x*"))


def test_quarantine_is_listed_and_shown(data):
    folder = Folder(data)
    records = open_records(Settings(), folder)
    payloads = [batch([("Vehicle.Speed", NOW_US, float(value))]) for value in (300, 400)]
    kept = [
        Refusal(Origin("default", CAR, "batch"), "out_of_range", 1, "1 of 1 rows", payload, NOW_US)
        for payload in payloads
    ]
    Quarantine(records, Seals(folder.keys, "default")).keep(kept)
    records.close()
    lines = run("quarantine", "list", "--data", data).output.splitlines()
    assert len(lines) == 2
    assert all("out_of_range  1 of 1 rows" in line for line in lines)
    assert run("quarantine", "list", "--data", data, "--cause", "flood").output == ""
    shown = json.loads(run("quarantine", "show", lines[0].split()[0], "--data", data).output)
    assert acts(data)[-1] == ("machine", "openQuarantine", f"quarantine:{shown['id']}")
    assert bytes.fromhex(shown["payload"]) in payloads
    assert shown["decoded"]["shown"][0][2] in (300.0, 400.0)
    assert "Give more of the id" in said(InputError, "quarantine", "show", "", "--data", data)
    said(MissingError, "quarantine", "show", "zzzz", "--data", data)


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_speed_that_is_none_is_said(data, tmp_path, speed):
    folder = Folder(data)
    new_zone_file(Settings(), folder, free_ports=True).write(folder.zone_file)
    (tmp_path / "m.yaml").write_text("format: csv\n")
    result = run("drive", tmp_path / "x.csv", "--mapping", tmp_path / "m.yaml", "--speed", speed, "--data", data)
    assert isinstance(result.exception, CarcloudError)


@pytest.mark.parametrize("content", ["", "- a", "time: [", "nonsense: 1", "\0"])
def test_a_mapping_that_is_none_is_said(data, tmp_path, content):
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(content)
    said(InputError, "drive", tmp_path / "x.csv", "--mapping", mapping, "--data", data)


def test_a_mapping_that_is_not_there_is_said(data, tmp_path):
    said(CarcloudError, "drive", tmp_path / "x.csv", "--mapping", tmp_path / "none.yaml", "--data", data)


def test_the_catalogue_is_shown_and_a_new_one_checked(data, tmp_path):
    assert any(
        line.split()[0] == "Vehicle.Speed" for line in run("catalogue", "show", "--data", data).output.splitlines()
    )
    own = tmp_path / "own.yaml"
    own.write_text("signals:\n  Vehicle.Own.Thing: {type: float, unit: km}\n")
    output = run("catalogue", "check", own, "--data", data).output
    assert "as overlay: good" in output
    own.write_text("signals:\n  Vehicle.Speed: {type: string}\n")
    result = run("catalogue", "check", own, "--data", data)  # no zone has started here, so it may be a catalogue
    assert "as overlay: no." in result.output
    assert "as catalogue: good" in result.output
    assert result.exit_code == 0
    Folder(data).catalogue.write_text("signals:\n  Vehicle.Speed: {type: float, unit: km/h}\n")
    result = run("catalogue", "check", own, "--data", data)
    assert result.output.count("Vehicle.Speed is float in km/h; it cannot become string") == 2
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    said(MissingError, "catalogue", "check", tmp_path / "none.yaml", "--data", data)
    own.write_text("signals: 5\n")
    said(InputError, "catalogue", "check", own, "--data", data)


def test_a_lake_that_is_not_as_signed_ends_with_exit_code_1(data):
    keys = Folder(data).keys
    said(InputError, "verify", "lake", "--data", data)
    Signer(keys, data / "run")
    result = run("verify", "lake", "--data", data)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "chunk 1: 6 rows and no receipt" in result.output
    assert "NOT as signed" in result.output


def test_recordings_that_no_mapping_knows_are_said_before_anything_starts(tmp_path):
    (tmp_path / "drives").mkdir()
    (tmp_path / "drives" / "holiday.mp4").write_text("")
    message = said(InputError, "demo", "--recordings", tmp_path / "drives", "--data", tmp_path / "data")
    assert "Known names: rav4_60s.candump.log.gz" in message
    assert not (tmp_path / "data").exists()


def test_the_examples_are_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "drives").mkdir()
    (tmp_path / "drives" / "bmw_i3_10hz.parquet").write_text("")
    (tmp_path / "data").write_text("")  # so it ends before anything starts
    monkeypatch.chdir(tmp_path)
    assert "cannot be used" in said(InputError, "demo", "--recordings", "drives", "--data", "data")
    monkeypatch.setattr(demo, "EXAMPLES", tmp_path / "none")
    assert "from a checkout" in said(MissingError, "demo", "--recordings", "drives", "--data", "data")


@pytest.mark.parametrize("cars", [0, 501])
def test_a_fleet_has_1_to_500_cars(cars, tmp_path):
    for command in ("demo", "simulate"):
        assert run(command, "--cars", cars, "--data", tmp_path / "none").exit_code == 2


def test_car_is_claimed_held_back_released_rekeyed_and_retired(data: Path) -> None:
    claimed = run("claim", "--vin", VIN[:-1] + "3", "--data", data, "--hours", "2")
    assert claimed.exit_code == 0, claimed.output
    vehicle, token = claimed.output.split()[0], claimed.output.splitlines()[1]
    assert token.startswith(f"{vehicle}.")
    assert "Let the car join" in said(ConflictError, "vehicle", "quarantine", vehicle, "--data", data)
    shown = run("identity", "--data", data).output
    assert f"claim        {vehicle}" in shown
    assert token.partition(".")[2] not in shown
    again = run("vehicle", "rekey", vehicle, "--data", data).output.splitlines()[1]
    assert again != token
    assert run("vehicle", "retire", vehicle, "--data", data).output.startswith(f"{vehicle} is retired")
    lines = run("identity", vehicle, "--data", data).output.splitlines()
    assert lines[0].startswith(f"{vehicle}  retired")
    assert [line.split()[-1] for line in lines[1:]] == ["withdrawn", "withdrawn"]
    said(ConflictError, "vehicle", "rekey", vehicle, "--data", data)
    said(MissingError, "vehicle", "release", "nobody", "--data", data)


def test_rekeying_names_the_order_keys_of_this_car_alone(data: Path) -> None:
    folder = Folder(data)
    vehicle = run("vehicles", "--data", data).output.split()[0]
    orders = folder.keys / "orders"
    people = People(orders)
    (orders / "tenant").write_text("default")
    for name, cars in (("seller", [vehicle]), ("fleet", []), ("family", [vehicle, OTHER])):
        people.add(name, load_key(new_key()).public_key(), ["owner" if cars else "fleet"], cars, "given")
    said = run("vehicle", "rekey", vehicle, "--data", data).output
    assert [line for line in said.splitlines() if line.startswith("carcloud operator")] == [
        "carcloud operator remove seller"
    ]


def test_enrolled_car_goes_in_and_out_of_quarantine(data: Path) -> None:
    vehicle = run("vehicles", "--data", data).output.split()[0]
    for act, state in (("quarantine", "quarantined"), ("release", "active")):
        assert run("vehicle", act, vehicle, "--data", data).output.startswith(f"{vehicle} is {state}")
        assert run("vehicles", "--data", data).output.split()[1] == state
    assert "holds" in run("identity", vehicle, "--data", data).output


def test_join_says_what_is_wrong(tmp_path: Path) -> None:
    said(InputError, "join", "--claim", "x", "--zone", "https://localhost:1", "--ca", tmp_path / "none")
    token = f"{'a' * 16}.{'b' * 32}"
    said(InputError, "join", "--claim", token, "--zone", "https://localhost:1", "--ca", tmp_path / "none")
