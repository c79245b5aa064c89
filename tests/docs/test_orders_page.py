"""docs/orders.md says what the code does: commands, roles, bounds, messages, reasons, faults, limits."""

import dataclasses
import re
from pathlib import Path

from carcloud.onboard.journal import KEEP_S, LIMIT_ORDERS
from carcloud.safety.orders.authorisation import LONGEST_S
from carcloud.safety.orders.certificates import ORDER_PURPOSE
from carcloud.safety.orders.keys import ROLE_AGE
from carcloud.safety.orders.people import PAIRING_PURPOSE
from carcloud.safety.orders.signer import LIMIT_ALONE, SESSION_LIFE_S, SIGNED_LIFE_S
from carcloud.vehicle.commands import COMMANDS, REASONS, Bounds
from carcloud.vehicle.order import KINDS, LIMIT_MESSAGE_BYTES, Fault, SignatureType, Tag

PAGE = (Path(__file__).parents[2] / "docs/orders.md").read_text()


def rows(title: str) -> list[list[str]]:
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line.strip().strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines][2:]


def test_commands_with_their_domains_roles_and_bounds():
    written = {row[0].strip("`"): row[1:] for row in rows("Commands")}
    assert written.keys() == COMMANDS.keys()
    for name, (domain, roles, parameters, _) in written.items():
        command = COMMANDS[name]
        assert domain == f"{int(command.domain)} {command.domain.name.lower()}"
        assert set(roles.split(", ")) == command.roles
        for parameter, kind in command.parameters.items():
            wanted = f"{kind.low:g} to {kind.high:g}" if isinstance(kind, Bounds) else "SHA-256, 64 hexadecimal digits"
            assert f"`{parameter}` {wanted}" in parameters
        assert bool(parameters) == bool(command.parameters)


def test_every_reason_of_a_car_or_the_cloud():
    written = set(re.findall(r"`(\w+)`", " ".join(row[1] for row in rows("States"))))
    assert written == REASONS.keys()


def test_fields_of_the_messages():
    for row in rows("Messages"):
        kind, fields = KINDS[int(row[0].split()[0])], [field.split() for field in row[1].split(" · ")]
        assert [(field.name, field.metadata["tag"]) for field in dataclasses.fields(kind)] == [
            (name, int(tag)) for tag, name, _ in fields
        ]
        for field, (_, _, size) in zip(dataclasses.fields(kind), fields, strict=True):
            low, _, high = size.partition("-")
            assert field.metadata["sizes"] == range(int(low), int(high or low) + 1)
    assert f"at most {LIMIT_MESSAGE_BYTES >> 10} KiB" in PAGE


def test_tags_types_and_faults():
    metadata = PAGE.split("\n## Metadata\n")[1].split("\n## ")[0]
    assert {int(number) for number in re.findall(r"(?:Tags:|·)\s(\d+)", metadata)} == set(Tag)
    assert "5 order, 6 session information, 9 result" in metadata
    assert set(SignatureType) == {5, 6, 9}
    faults = PAGE.split("faults are\n")[1].split(".")[0]
    assert {int(number) for number in re.findall(r"\d", faults)} == set(Fault) - {Fault.NONE}


def test_limits():
    written = dict(rows("Limits"))
    assert written["life of an authorisation"] == f"{LONGEST_S // 3600} h"
    assert written["life of a signed order"] == f"{SIGNED_LIFE_S} s"
    assert written["life of a session"].startswith(f"{SESSION_LIFE_S / 3600:g} h")
    assert written["cars one person may order alone within an hour"] == str(LIMIT_ALONE)
    assert written["orders in a car's journal"].startswith(f"{LIMIT_ORDERS:,};")
    assert "two days" in written["orders in a car's journal"]
    assert KEEP_S == 2 * 24 * 3600
    assert written["life of a role's certificate"] == f"{ROLE_AGE.days} days"
    assert ORDER_PURPOSE.dotted_string in PAGE
    assert PAIRING_PURPOSE.decode().strip() in PAGE
