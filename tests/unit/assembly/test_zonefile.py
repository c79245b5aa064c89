"""The zone file and the lock: one zone a folder, found by its own user only."""

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from carcloud.assembly.zonefile import FREE, PORTS, ZoneFile, new_zone_file, sole_instance
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.settings import Folder, Listen, Settings


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "data")
    made.make()
    return made


def test_a_zone_file_comes_back_and_is_its_owners_alone(folder):
    zone = new_zone_file(Settings(), folder, free_ports=True)
    zone.write(folder.zone_file)
    assert ZoneFile.read(folder) == zone
    assert folder.zone_file.stat().st_mode & 0o777 == 0o600
    assert zone.console("once") == f"http://127.0.0.1:{zone.api}/?link=once"
    assert zone.bus("cloud") == f"nats://cloud:{zone.passwords['cloud']}@127.0.0.1:{zone.nats}"


def test_the_token_stays_and_the_passwords_are_new_at_each_start(folder):
    one, two = (new_zone_file(Settings(), folder, free_ports=True) for _ in range(2))
    assert one.token == two.token
    assert not set(one.passwords.values()) & set(two.passwords.values())
    assert len(set(one.passwords.values())) == len(one.passwords) == 4


def test_free_ports_differ_and_named_ones_are_taken_as_they_are(folder):
    zone = new_zone_file(Settings(), folder, free_ports=True)
    ports = [getattr(zone, name) for name in PORTS]
    assert len(set(ports)) == len(ports)
    assert all(port in FREE for port in ports)  # none that a system gives to outgoing connections
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    listen = Listen(api=free, mqtt=0, https=0, nats=0)
    assert new_zone_file(Settings(listen=listen), folder, free_ports=False).api == free


def test_a_port_in_use_is_named_with_its_setting(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listen = replace(Listen(api=0, https=0, nats=0), mqtt=port)
        with pytest.raises(ConflictError, match=rf"Port {port} \(mqtt\) .* set listen\.mqtt .* --free-ports"):
            new_zone_file(Settings(listen=listen), folder, free_ports=False)


def test_a_number_that_is_no_port_is_said(folder):
    with pytest.raises(InputError, match=r"70000 is no port\. Set listen\.api"):
        new_zone_file(Settings(listen=Listen(api=70000)), folder, free_ports=False)


def test_where_no_zone_runs_the_command_to_start_one_is_said(folder):
    with pytest.raises(MissingError, match="carcloud up"):
        ZoneFile.read(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": 1}'])
def test_a_damaged_zone_file_is_said(folder, content):
    folder.zone_file.write_text(content)
    with pytest.raises(InputError, match="damaged"):
        ZoneFile.read(folder)


def test_a_second_zone_on_the_folder_is_refused_by_the_firsts_process(folder):
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from carcloud.assembly.zonefile import sole_instance\nfrom carcloud.settings import Folder\n"
        "with sole_instance(Folder(Path(sys.argv[1]))):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(folder.path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConflictError, match=rf"process {holder.pid}\)\. Use it, stop it"), sole_instance(folder):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with sole_instance(folder):  # a killed holder holds nothing
        pass


def test_a_zone_that_ends_by_an_error_leaves_no_zone_file(folder):
    def failing() -> None:
        with sole_instance(folder):
            folder.zone_file.write_text("{}")
            raise ConflictError("A port is taken.")

    with pytest.raises(ConflictError):
        failing()
    assert not folder.zone_file.exists()
