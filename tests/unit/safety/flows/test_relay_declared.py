"""Relays in the flows file: what they may say, and what they may not."""

import pytest

from carcloud.errors import InputError
from carcloud.safety.flows.flow import parse

GOOD = """
relays:
  city:
    to: city-centre
    address: platform.example:32960
    edition: 2016
    user: carmaker
    password_file: /etc/city.password
    code: CARMAKER000000001
    purpose: reporting
    why: The law asks for it.
    classes: [personal, operational]
    limits: {personal: 10000}
    vehicles: all
"""


def test_relay_is_read_as_it_is_written():
    flows = parse(GOOD, "flows.yaml")
    relay = flows.relays["city"]
    assert flows.flows == {}
    assert (relay.to, relay.purpose, relay.pseudonym, relay.bar("personal")) == (
        "city-centre",
        "reporting",
        False,
        9000,
    )
    platform = relay.platform
    assert (platform.host, platform.port, platform.edition, platform.tls) == ("platform.example", 32960, 2016, True)
    assert platform.vehicles is None
    some = parse(GOOD.replace("vehicles: all", "vehicles: [a1, b2]"), "flows.yaml")
    assert some.relays["city"].platform.vehicles == {"a1", "b2"}


def test_hash_says_what_a_relay_says():
    for change in (
        (":32960", ":32961"),
        ("2016", "2025"),
        ("user: carmaker", "user: other"),
        ("all", "[a]"),
        ("10000}", "9}"),
    ):
        assert parse(GOOD.replace(*change), "a").hash != parse(GOOD, "b").hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("platform.example:32960", "platform.example"), "no `address`"),
        (("platform.example:32960", "https://x:1"), "no `address`"),
        (("platform.example:32960", "x:70000"), "no `address`"),
        (("platform.example:32960", '"a b:80"'), "no `address`"),
        (("edition: 2016", "edition: 2020"), "no `edition`"),
        (("edition: 2016", 'edition: "2016"'), "no `edition`"),
        (("user: carmaker", "user: far-too-long-a-name"), "no `user`"),
        (("CARMAKER000000001", "CARMAKER0000000012"), "no `code`"),
        (("CARMAKER000000001", '"A B"'), "no `code`"),
        (("password_file: /etc/city.password", "ca: x"), "password"),
        (("vehicles: all", "vehicles: []"), "which cars"),
        (("vehicles: all", "vehicles: ['a b']"), "which cars"),
        (("vehicles: all", "vehicles: all\n    tls: yes please"), "`tls`"),
        (("vehicles: all", "vehicles: all\n    tls: false\n    ca: x.pem"), "no TLS"),
        (("vehicles: all", "vehicles: all\n    pseudonym: true"), "unknown keys pseudonym"),
        (("vehicles: all", "vehicles: all\n    time: 60"), "unknown keys time"),
        (("limits: {personal: 10000}", ""), "without a limit"),
        (
            ("[personal, operational]\n    limits: {", "[personal, important]\n    limits: {important: 9, "),
            "security assessment",
        ),
        (("purpose: reporting", ""), "no purpose"),
        (("  city:", "  City:"), "proper name"),
    ],
)
def test_what_no_relay_may_say_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        parse(GOOD.replace(*change), "flows.yaml")


def test_relay_and_flow_of_one_name_are_refused():
    flow = "flows:\n  city: {to: eu, purpose: x, why: y, classes: [public], signals: [{paths: [A.B]}]}\n"
    with pytest.raises(InputError, match="no flow's name"):
        parse(flow + GOOD.lstrip(), "flows.yaml")
