"""The governance file: what it means, and what is said of one that is wrong."""

import pytest

from carcloud.errors import InputError
from carcloud.safety.governance.masks import masked
from carcloud.safety.governance.policy import BASES, pack, packs, parse
from carcloud.safety.governance.table import Table
from carcloud.settings import CORE, OWN, read_catalogue
from carcloud.vehicle.catalogue import Catalogue, Signal

HEAD = "name: a\npurposes:\n  run: {basis: contract, why: Running.}\n  know: {basis: consent, why: Knowing.}\nrules:\n"
VIN = "WVWZZZ1JZXW000001"


def policy(*rules: str):
    return parse(HEAD + "".join(f"  - {{{rule}}}\n" for rule in rules) if rules else HEAD + "  []\n", "file")


@pytest.mark.parametrize(
    ("glob", "path", "named"),
    [
        ("**", "Vehicle.Speed", True),
        ("Vehicle.*", "Vehicle.Speed", True),
        ("Vehicle.*", "Vehicle.Cabin.Door", False),
        ("Vehicle.**", "Vehicle.Cabin.Door", True),
        ("Vehicle.**", "Vehicle", False),
        ("Vehicle.**.Door", "Vehicle.Cabin.Row1.Door", True),
        ("Vehicle.**.Door", "Vehicle.Door", False),
        ("Vehicle.Speed", "Vehicle.SpeedLimit", False),
        ("Vehicle.Speed", "XVehicle.Speed", False),
        ("Vehicle.Speed", "VehicleXSpeed", False),
    ],
)
def test_a_glob_names_whole_names_only(glob, path, named):
    assert (policy(f"paths: ['{glob}'], class: public, purposes: [run]").rule_of(path) is not None) == named


def test_the_first_rule_that_names_a_signal_holds_and_what_none_names_is_dropped():
    law = policy(
        "paths: [Vehicle.Cabin.Name], class: personal, keep: false",
        "paths: [Vehicle.Cabin.**], class: personal, purposes: [know]",
    )
    table = Table(law, Catalogue([Signal(f"Vehicle.{name}", "string") for name in ("Cabin.Name", "Cabin.Tag", "X.Y")]))
    assert table.kept.tolist() == [False, True, False]
    assert table.purposes.tolist() == [0, table.bits(["know"]), 0]
    assert (table.lawful, table.asks, table.rounds) == (table.bits(["run"]), True, False)
    assert table.bits(["unheard-of"]) == 0


def test_laid_out_otherwise_it_is_the_same_policy_and_said_otherwise_another():
    rule = "paths: [Vehicle.Speed], class: public, purposes: [run]"
    one = policy(rule)
    assert parse(one.text.replace(": {basis", ":    {basis") + "# a remark\n", "other").hash == one.hash
    said = ("exactness: 5", "why: Because.", "class: personal", "purposes: [know]")
    others = [
        policy(f"{rule}, {entry}" if entry.split(":")[0] not in rule else rule.replace("public", "personal"))
        for entry in said[:3]
    ]
    assert len({other.hash for other in others} | {one.hash}) == 4


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("paths: [], class: public, purposes: [run]", "rule 1 must name 1 to 1000 paths"),
        ("paths: ['Vehicle..X'], class: public, purposes: [run]", "path that is none"),
        ("paths: ['a.**.b.**.c.**'], class: public, purposes: [run]", "path that is none"),
        ("paths: ['***'], class: public, purposes: [run]", "path that is none"),
        ("paths: ['Vehicle.(x)'], class: public, purposes: [run]", "path that is none"),
        ("paths: [Vehicle.A], class: secret, purposes: [run]", "no class"),
        ("paths: [Vehicle.A], class: public, purposes: [fun]", "not above: fun"),
        ("paths: [Vehicle.A], class: public", "must have purposes"),
        ("paths: [Vehicle.A], class: public, keep: false, purposes: [run]", "none if not"),
        ("paths: [Vehicle.A], class: public, keep: false, exactness: 1", "changes what it does not keep: exactness"),
        ("paths: [Vehicle.A], class: public, keep: false, time: 3, car: pseudonym", "not keep: time, car"),
        ("paths: [Vehicle.A], class: public, purposes: [run], days: 0", "`days` that is no number of days"),
        ("paths: [Vehicle.A], class: public, purposes: [run], days: true", "`days` that is no number of days"),
        ("paths: [Vehicle.A], class: public, purposes: [run], time: 0.5", "`time` that is no number of seconds"),
        ("paths: [Vehicle.A], class: public, purposes: [run], time: 86401", "`time` that is no number of seconds"),
        ("paths: [Vehicle.A], class: public, purposes: [run], cell: 16", "`cell` that is no resolution"),
        ("paths: [Vehicle.A], class: public, purposes: [run], cell: 8, exactness: 1", "both `cell` and `exactness`"),
        ("paths: [Vehicle.A], class: public, purposes: [run], car: me", "`car` that is not `pseudonym`"),
        ("paths: [Vehicle.A], class: public, purposes: [run], exactness: 0", "no number above 0"),
        ("paths: [Vehicle.A], class: public, purposes: [run], exactness: .inf", "no number above 0"),
        ("paths: [Vehicle.A], class: public, purposes: [run], exactness: true", "no number above 0"),
        ("paths: [Vehicle.A], class: public, purposes: [run], keeps: true", "unknown keys keeps"),
        ("paths: Vehicle.A, class: public, purposes: [run]", "no list of texts"),
    ],
)
def test_a_wrong_rule_is_named_with_what_to_do(rule, said):
    with pytest.raises(InputError, match=said) as caught:
        policy("paths: [Vehicle.Z], class: public, purposes: [run]"[:0] or rule)
    assert str(caught.value).startswith("file: rule 1")
    assert caught.value.do


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no governance file"),
        ("[]", "is no governance file"),
        ("name: a\nrules: []\n", "must name 1 to 63 purposes"),
        ("purposes: {run: {basis: contract, why: x}}\nrules: []\n", "name is missing"),
        ("name: A b\npurposes: {run: {basis: contract, why: x}}\nrules: []\n", "name is missing"),
        ("name: a\npurposes: {run: {basis: because, why: x}}\nrules: []\n", "no legal basis"),
        ("name: a\npurposes: {run: {basis: contract}}\nrules: []\n", "does not say why"),
        ("name: a\npurposes: {run: contract}\nrules: []\n", "is not described"),
        ("name: a\npurposes: {run: {basis: contract, why: x}, run: {basis: consent, why: x}}\nrules: []\n", "twice"),
        ("name: a\nepoch: week\npurposes: {run: {basis: contract, why: x}}\nrules: []\n", "epoch is none"),
        ("name: a\nhurry: 1\npurposes: {run: {basis: contract, why: x}}\nrules: []\n", "unknown keys hurry"),
        ("name: a\npurposes: &p {run: {basis: contract, why: x}}\nrules: *p\n", "Aliases"),
    ],
)
def test_a_wrong_file_is_an_input_error(text, said):
    with pytest.raises(InputError, match=said):
        parse(text, "file")


@pytest.mark.parametrize(
    ("signal", "step", "said"),
    [
        (Signal("Vehicle.A", "string"), 1, "is no number"),
        (Signal("Vehicle.A", "boolean"), 1, "is no number"),
        (Signal("Vehicle.A", "uint8"), 0.5, "whole numbers only"),
    ],
)
def test_what_cannot_be_rounded_is_refused_before_it_governs(signal, step, said):
    law = policy(f"paths: [Vehicle.A], class: public, purposes: [run], exactness: {step}")
    with pytest.raises(InputError, match=said):
        Table(law, Catalogue([signal]))


PLACE = [Signal(f"Vehicle.Place.{name}", "double") for name in ("Latitude", "Longitude")]
HALVES = "Vehicle.Place.Latitude, Vehicle.Place.Longitude"


def test_every_key_of_a_rule_is_read_and_part_of_the_hash():
    plain = "paths: [Vehicle.Place.*], class: public, purposes: [run]"
    (rule,) = policy(f"{plain}, cell: 8, time: 60, car: pseudonym, days: 30").rules
    assert (rule.cell, rule.time_s, rule.pseudonym, rule.days) == (8, 60, True, 30)
    (rule,) = policy(plain).rules
    assert (rule.cell, rule.time_s, rule.pseudonym, rule.days) == (None, 0, False, None)
    keys = ("", ", cell: 0", ", cell: 8", ", time: 1", ", car: pseudonym", ", days: 1", ", exactness: 1")
    laws = [policy(plain + key) for key in keys]
    laws += [parse(f"epoch: {epoch}\n{laws[0].text}", "file") for epoch in ("day", "quarter", "year")]
    assert len({law.hash for law in laws}) == len(laws)
    assert parse(f"epoch: month\n{laws[0].text}", "file").hash == laws[0].hash


def test_what_a_rule_changes_stands_in_the_table_by_signal():
    law = policy(
        f"paths: [{HALVES}], class: public, purposes: [run], cell: 0, time: 5, car: pseudonym",
        "paths: ['**'], class: public, purposes: [run]",
    )
    table = Table(law, Catalogue([*PLACE, Signal("Vehicle.Speed", "float")]))
    assert table.cell.tolist() == [0, 0, -1]
    assert table.partner.tolist() == [1, 0, -1]
    assert table.time_us.tolist() == [5_000_000, 5_000_000, 0]
    assert table.pseudonym.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("paths", "signals"),
    [
        (HALVES.split(",")[0], PLACE),
        (HALVES, PLACE[:1]),
        ("'**'", [*PLACE, Signal("Vehicle.Speed", "float")]),
        (HALVES, [PLACE[0], Signal("Vehicle.Place.Longitude", "int32")]),
        ("Vehicle.Place.Latitude, Vehicle.Other.Longitude", [PLACE[0], Signal("Vehicle.Other.Longitude", "double")]),
    ],
)
def test_cells_are_for_both_halves_of_a_place_under_one_rule_only(paths, signals):
    law = policy(f"paths: [{paths}], class: public, purposes: [run], cell: 8")
    with pytest.raises(InputError, match="is no half of a place") as caught:
        Table(law, Catalogue(signals))
    assert caught.value.do


@pytest.mark.parametrize("name", packs())
def test_packs_fit_the_core_profile_and_say_why(name):
    law = pack(name)
    catalogue = read_catalogue(CORE).overlaid(read_catalogue(OWN))
    table = Table(law, catalogue)
    assert all(table.kept[catalogue.index[path]] for path in catalogue if path.startswith("Vehicle.Collection."))
    assert law.name == name
    assert law.about
    assert table.kept.sum() > 100
    assert {purpose.basis for purpose in law.purposes.values()} <= set(BASES)
    if name != "laboratory":
        assert table.asks
        assert table.rounds
        assert "not legal advice" in law.about


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (VIN, "[VIN]"),
        (f"seen {VIN.lower()}, sold", "seen [VIN], sold"),
        (f"{VIN}{VIN}", f"{VIN}{VIN}"),
        ("WVW ZZZ1JZ XW000001 is sold", "[VIN] is sold"),
        ("WVW-ZZZ1JZ-XW000001", "[VIN]"),
        ("-".join(VIN), "[VIN]"),
        (f"VIN{VIN}", "[VIN]"),
        ("ＷＶＷＺＺＺ１ＪＺＸＷ０００００１", "[VIN]"),
        ("车架号：ＷＶＷ\u3000ＺＺＺ１ＪＺ\u3000ＸＷ０００００１。", "车架号：[VIN]。"),
        ("DTC P0420 P0300 P0171 U0100 B1342", "DTC P0420 P0300 P0171 U0100 B1342"),
        ("SERVICE DUE 2026-11-23 1200", "SERVICE DUE 2026-11-23 1200"),
        ("A" * 17, "A" * 17),
        ("1" * 17, "1" * 17),
        ("WVWZZZ1JZXW00000I", "WVWZZZ1JZXW00000I"),
        ("", ""),
    ],
)
def test_words_that_may_be_a_vin_are_masked(text, shown):
    assert masked(text) == shown
