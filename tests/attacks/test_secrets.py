"""What lies on the zone's disk, and what its logs tell whoever reads them."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.attacks.attacker import Car, sample, seen, until_seen
from tests.attacks.conftest import enrolled
from tests.zone import RunningZone, carcloud


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_data_folder_is_closed_to_others(target: RunningZone) -> None:
    folder = target.folder
    for place in (folder.path, folder.keys, folder.run, folder.logs, folder.stream, folder.lake, folder.twin):
        assert mode(place) == 0o700, place


def test_keys_passwords_and_records_are_their_owners_alone(target: RunningZone) -> None:
    folder = target.folder
    secrets = [file for file in folder.keys.rglob("*") if file.is_file() and file.suffix in (".key", ".seed", ".token")]
    assert len(secrets) >= 7
    for file in (*secrets, folder.zone_file, folder.run / "nats.conf", *folder.path.glob("records.sqlite*")):
        assert mode(file) == 0o600, file
    assert mode(folder.run / "signer.sock" if (folder.run / "signer.sock").exists() else folder.zone_file) == 0o600


def test_credentials_of_a_car_are_its_owners_alone(target: RunningZone, tmp_path: Path) -> None:
    place = tmp_path / "car"
    made = carcloud("enrol", "--vin", "X0012345678901234", "--data", str(target.data), "--out", str(place))
    assert made.returncode == 0, made.stderr
    assert (mode(place), mode(place / "vehicle.key")) == (0o700, 0o600)
    assert "PRIVATE" not in made.stdout + made.stderr


def test_secrets_are_in_no_command_line_and_no_environment(target: RunningZone) -> None:
    secrets = [target.token, *target.file.passwords.values()]
    for pid in (target.process.pid, *target.children().values()):
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(secret.encode() in shown for secret in secrets)


def test_no_log_names_a_token_a_password_a_key_or_a_vin(target: RunningZone) -> None:
    """After a run with refusals of every kind, errors in the API, and wrong tokens."""
    enrolment, place = target.enrol("named in no log")
    vin = enrolment.vehicle.vin
    with Car(target, place) as own:
        for body in (b"rubbish", b"{", sample("text"), sample(1e9), sample(1, "Vehicle.Nope"), sample(vin), sample(43)):
            own.say(body)
        until_seen(target, own.id, 43)
        own.say(sample(vin, vin), own.up(vin))
    target.client.get(f"/v1/vehicles/{vin}")
    target.client.get("/", params={"token": "wrong"})
    target.client.post("/v1/lake/sql", json={"sql": f"SELECT '{vin}' FROM nowhere"})
    target.client.get("/v1/status", headers={"authorization": f"Bearer {target.token}x"})
    key_line = (place / "vehicle.key").read_text().splitlines()[1]
    secrets = [target.token, *target.file.passwords.values(), "PRIVATE KEY", "BEGIN CERT", key_line]
    for file in target.folder.logs.iterdir():
        text = file.read_text(errors="replace")
        for secret in secrets:
            assert secret not in text, f"{file.name} tells a secret"
        assert vin not in "\n".join(line for line in text.splitlines() if "Publish Violation" not in line), file.name


def test_payloads_in_quarantine_are_sealed(target: RunningZone) -> None:
    with Car(target, enrolled(target)) as own:
        own.say(b"{sealed-marker")
        own.say(sample(44))
        until_seen(target, own.id, 44)
        assert target.get("/v1/quarantine", cause="bad_json")["entries"]
    for file in target.data.rglob("*"):
        if file.is_file() and not file.is_symlink():
            assert b"sealed-marker" not in file.read_bytes(), file


def test_what_a_car_wrote_is_shown_as_data_never_as_a_page_or_a_terminals_command(target: RunningZone) -> None:
    evil = "<script>alert(1)</script>\x1b]0;owned\x07\x1b[2J\x9b2J"
    with Car(target, enrolled(target)) as own:
        own.say(sample(evil, "Vehicle.Speed"))
        own.say({"samples": [{"signal": evil.replace("\x1b", "").replace("\x07", ""), "value": 1}]})
        own.say(sample(45))
        until_seen(target, own.id, 45)
        assert seen(target, own.id) == {"Vehicle.Speed": 45}
    entry = next(each for each in target.get("/v1/quarantine")["entries"] if each["vehicle"] == own.id)
    answer = target.client.get(f"/v1/quarantine/{entry['id']}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'self'; ")
    assert answer.json()["decoded"]["samples"][0]["value"] == evil
    for command in (["quarantine", "list"], ["quarantine", "show", entry["id"]]):
        shown = carcloud(*command, "--data", str(target.data))
        assert shown.returncode == 0
        assert not any(sign in shown.stdout for sign in "\x1b\x07\x9b")


def test_text_of_a_car_moves_no_terminal_through_sql(target: RunningZone) -> None:
    shown = carcloud("sql", "SELECT 'a' || chr(27) || '[2J' || chr(7) AS t", "--data", str(target.data))
    assert shown.returncode == 0, shown.stderr
    assert not any(sign in shown.stdout for sign in "\x1b\x07\x9b")
