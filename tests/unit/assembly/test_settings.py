"""Settings from a file: what is wrong is named, with what to do."""

import errno
import os
import stat
from pathlib import Path

import pytest

from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.settings import OWN, Folder, Settings, load, load_catalogue, read_catalogue


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "zone.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_without_a_file_the_defaults_hold():
    assert load(None) == Settings()


def test_an_empty_file_changes_nothing(file):
    assert load(file("")) == Settings()


def test_nested_tables_reach_every_room(file):
    settings = load(
        file(
            'zone = "north"\noverlays = ["a.yaml"]\n[listen]\napi = 0\nnames = ["car.example"]\n'
            "[governor]\nrhythm_s = 1\n[governor.flood]\nmessages_per_s = 5\n[governor.time]\nbehind_days = 2.5\n"
            "[lake]\ncommit_rows = 10\n[query]\ntime_s = 3\n"
        )
    )
    assert (settings.zone, settings.overlays, settings.listen.api) == ("north", ("a.yaml",), 0)
    assert settings.listen.names == ("car.example",)
    assert settings.listen.mqtt == Settings().listen.mqtt
    assert (settings.governor.rhythm_s, type(settings.governor.rhythm_s)) == (1.0, float)
    assert (settings.governor.flood.messages_per_s, settings.governor.time.behind_days) == (5, 2.5)
    assert (settings.lake.commit_rows, settings.query.time_s) == (10, 3.0)


@pytest.mark.parametrize(
    ("text", "message", "do"),
    [
        ("zoen = 1", "unknown key 'zoen'", "Known keys: audit, catalogue, controller, flows,"),
        ("[governor.flood]\nx = 1", "governor: flood: unknown key 'x'", "bytes_per_s, messages_per_s"),
        ("zone = 5", "zone is a str, not 5", "Mend the file."),
        ("gateways = true", "gateways is a int, not True", "Mend the file."),
        ("gateways = 1.5", "gateways is a int, not 1.5", "Mend the file."),
        ("gateways = -1", "gateways is -1", "0 or more"),
        ('map_datum = "bd09"', "map_datum is 'bd09'", "wgs84, gcj02"),
        ("[governor]\nrhythm_s = -0.1", "rhythm_s is -0.1", "0 or more"),
        ("[governor]\nrhythm_s = nan", "rhythm_s is nan", "0 or more"),
        ("[governor.time]\nahead_s = inf", "ahead_s is inf", "0 or more"),
        ("[governor]\nrhythm_s = -1", "rhythm_s is -1", "0 or more"),
        ("[gbt32960]\nidle_s = 30", "idle_s is 30", "45 or more"),
        ("[gbt32960]\nsessions = 0", "sessions is 0", "10 or more"),
        ("[gbt32960]\nframes_per_s = 0", "frames_per_s is 0", "1 or more"),
        ("[gbt32960]\nframe_bytes = 3", "frame_bytes is 3", "1024 or more"),
        ("[gbt32960]\nport = 1\ntls_clients = true", "tls_clients asks nobody", "Give a tls_port"),
        ('[governor]\nrhythm_s = "fast"', "rhythm_s is a float, not 'fast'", "Mend the file."),
        ("governor = 1", "governor is a table", "Write it as [governor]."),
        ('overlays = "a"', "overlays is a list of texts", '["a", "b"]'),
        ("overlays = [1]", "overlays is a list of texts", '["a", "b"]'),
        ("[[listen]]\napi = 1", "listen is a table", "Write it as [listen]."),
        ('zone = "a b"', "zone is no name", "letters, digits"),
        ('tenant = "*"', "tenant is no name", "letters, digits"),
        ('tenant = ""', "tenant is no name", "letters, digits"),
        (f'zone = "{"z" * 65}"', "zone is no name", "1 to 64"),
        ("zone = ", "is no TOML", "Mend the file."),
    ],
)
def test_what_is_wrong_is_named_with_file_and_remedy(file, text, message, do):
    path = file(text)
    with pytest.raises(InputError) as error:
        load(path)
    assert error.value.message.startswith(str(path))
    assert message in error.value.message
    assert do in error.value.do


def test_a_file_that_is_not_there_or_no_text_is_said(tmp_path):
    with pytest.raises(MissingError, match=r"no configuration file .* Check the path"):
        load(tmp_path / "none.toml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    for path in (tmp_path, tmp_path / "binary"):
        with pytest.raises(InputError, match="Mend the file"):
            load(path)


def test_a_folder_is_made_for_its_owner_only(tmp_path):
    folder = Folder(tmp_path / "deep" / "data")
    folder.make()
    folder.make()
    places = (folder.path, folder.keys, folder.run, folder.logs, folder.stream, folder.twin, folder.lake)
    assert {place.stat().st_mode & 0o777 for place in places} == {0o700}
    assert folder.records(Settings()).startswith("sqlite:////")
    assert folder.records(Settings(records="postgresql://host/db")) == "postgresql://host/db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_zone_begins_in_an_absent_folder_and_goes_on_in_it(tmp_path):
    folder = Folder(tmp_path / "data")
    assert folder.make() == f"A new zone begins in {folder.path}, made for its owner only."
    assert folder.make() == ""
    assert folder.existing() == folder


@pytest.mark.parametrize("own", [True, False])
def test_an_empty_folder_is_closed_where_it_is_ours(own, tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    if not own:
        monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    sentence = Folder(tmp_path).make()
    assert sentence.startswith(f"A new zone begins in the empty folder {tmp_path}")
    assert ("closed to others now" if own else "its mode stays 755") in sentence
    assert mode(tmp_path) == (0o700 if own else 0o755)
    assert mode(Folder(tmp_path).keys) == 0o700


def test_queues_a_car_left_do_not_keep_a_zone_from_beginning(tmp_path):
    (tmp_path / "queues").mkdir()
    assert "A new zone begins" in Folder(tmp_path).make()


def test_a_zone_that_was_opened_to_others_is_closed_again_and_says_so(tmp_path):
    folder = Folder(tmp_path / "data")
    folder.make()
    folder.path.chmod(0o755)
    assert folder.make() == f"{folder.path} was open to others and is closed to them now."
    assert mode(folder.path) == 0o700


def test_other_things_are_left_alone(tmp_path):
    (tmp_path / "keys").mkdir(mode=0o755)
    (tmp_path / "thesis.txt").write_text("mine")
    tmp_path.chmod(0o755)
    with pytest.raises(ConflictError, match=r"is no zone, and not empty: keys lies there\. Give a new or empty folder"):
        Folder(tmp_path).make()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["keys", "thesis.txt"]
    assert mode(tmp_path) == mode(tmp_path / "keys") == 0o755


@pytest.mark.parametrize("lost", ["keys", "stream", "twin", "lake", "run", "logs"])
def test_a_zone_that_lost_a_part_is_still_one(lost, tmp_path):
    folder = Folder(tmp_path / "data")
    folder.make()
    (folder.path / lost).rmdir()
    assert folder.existing().make() == ""
    assert (folder.path / lost).is_dir()


def test_a_folder_in_which_cars_were_only_enrolled_is_a_zone(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "records.sqlite").write_bytes(b"")
    assert Folder(tmp_path).existing().keys.is_dir()


def test_a_folder_that_cannot_be_looked_into_is_said(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)  # tests may run as a user whom nothing is refused
    for use in (Folder(tmp_path).existing, Folder(tmp_path).make):
        with pytest.raises(InputError, match="cannot be used: Permission denied"):
            use()


def test_a_folder_that_is_no_zone_is_said_with_what_to_do(tmp_path):
    for path in (tmp_path, tmp_path / "my zone"):
        with pytest.raises(MissingError, match=r"no zone in .*carcloud up --data"):
            Folder(path).existing()
    with pytest.raises(MissingError, match=r"--data '.*my zone'"):
        Folder(tmp_path / "my zone").existing()
    assert not list(tmp_path.iterdir())


def test_a_data_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(InputError, match=r"cannot be used: .* Give another"):
        Folder(tmp_path / "data").make()


# catalogue

OURS = read_catalogue(OWN)


def written(path: Path, *lines: str) -> str:
    path.write_text("signals:\n" + "".join(f"  {line}\n" for line in lines), "utf-8")
    return str(path)


def test_the_core_profile_is_the_catalogue_unless_another_is_named(tmp_path):
    core = load_catalogue(Settings(), tmp_path / "none")
    assert "Vehicle.Speed" in core
    own = written(tmp_path / "own.yaml", "Vehicle.Mine: {type: float, unit: km}")
    assert set(load_catalogue(Settings(catalogue=own), tmp_path / "none")) == {"Vehicle.Mine", *OURS}


def test_every_catalogue_has_our_own_signals_and_may_not_bend_them(tmp_path):
    assert "Vehicle.Collection.Fired" in OURS
    assert set(load_catalogue(Settings(), tmp_path / "none")) >= set(OURS)
    bent = written(tmp_path / "bent.yaml", "Vehicle.Collection.Fired: {type: float}")
    with pytest.raises(ConflictError, match="new path"):
        load_catalogue(Settings(catalogue=bent), tmp_path / "none")


def test_overlays_come_on_top_in_their_order(tmp_path):
    own = written(tmp_path / "own.yaml", "Vehicle.A: {type: float, min: 0, max: 9}")
    overlays = (
        written(tmp_path / "one.yaml", "Vehicle.B: {type: string}", "Vehicle.A: {type: float, max: 5}"),
        written(tmp_path / "two.yaml", "Vehicle.A: {type: float, max: 4}"),
    )
    made = load_catalogue(Settings(catalogue=own, overlays=overlays), tmp_path / "none")
    assert (set(made), made["Vehicle.A"].max) == ({"Vehicle.A", "Vehicle.B", *OURS}, 4)
    with pytest.raises(ConflictError, match="narrow"):
        load_catalogue(Settings(catalogue=own, overlays=overlays[::-1]), tmp_path / "none")


def test_a_successor_retires_what_it_leaves_out_and_never_changes_a_meaning(tmp_path):
    in_force = tmp_path / "catalogue.json"
    old = written(tmp_path / "old.yaml", "Vehicle.A: {type: float, unit: km}", "Vehicle.B: {type: string}")
    in_force.write_bytes(load_catalogue(Settings(catalogue=old), in_force).dump())
    new = written(tmp_path / "new.yaml", "Vehicle.C: {type: boolean}", "Vehicle.A: {type: float, unit: km}")
    in_force.write_bytes((made := load_catalogue(Settings(catalogue=new), in_force)).dump())
    assert {path: entry.retired for path, entry in made.items() if path not in OURS} == {
        "Vehicle.C": False,
        "Vehicle.A": False,
        "Vehicle.B": True,
    }
    assert set(load_catalogue(Settings(catalogue=new), in_force)) == {"Vehicle.A", "Vehicle.B", "Vehicle.C", *OURS}
    for entry in ("Vehicle.A: {type: float, unit: m}", "Vehicle.B: {type: float}"):
        with pytest.raises(ConflictError, match="new path"):
            load_catalogue(Settings(catalogue=written(tmp_path / "bent.yaml", entry)), in_force)
    back = load_catalogue(Settings(catalogue=old), in_force)
    assert not back["Vehicle.B"].retired


def test_a_catalogue_that_is_not_there_or_none_is_said(tmp_path):
    with pytest.raises(MissingError, match="no catalogue"):
        load_catalogue(Settings(catalogue=str(tmp_path / "none.yaml")), tmp_path / "none")
    with pytest.raises(InputError, match="cannot be read"):
        load_catalogue(Settings(catalogue=str(tmp_path)), tmp_path / "none")
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    with pytest.raises(InputError, match=r"empty\.yaml: No signals"):
        load_catalogue(Settings(catalogue=str(empty)), tmp_path / "none")
    empty.write_text("signals: {}")
    with pytest.raises(InputError, match=r"empty\.yaml: No signals"):
        load_catalogue(Settings(catalogue=str(empty)), tmp_path / "none")
