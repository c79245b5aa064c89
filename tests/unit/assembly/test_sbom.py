"""The bill of materials is that of the environment in which the tests run."""

import re
import uuid
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path

from carcloud.assembly.sbom import bill

BILL = bill(distributions(), datetime(2026, 11, 23, tzinfo=UTC))
PINNED = set(re.findall(r"^([a-z0-9.-]+)==(\S+)", (Path(__file__).parents[3] / "requirements.txt").read_text(), re.M))


def test_bill_is_cyclonedx_with_all_that_its_fields_must_be() -> None:
    assert (BILL["bomFormat"], BILL["specVersion"], BILL["version"]) == ("CycloneDX", "1.6", 1)
    assert uuid.UUID(BILL["serialNumber"].removeprefix("urn:uuid:")).version == 4
    assert BILL["metadata"]["timestamp"] == "2026-11-23T00:00:00Z"
    assert BILL["metadata"]["component"]["name"] == "carcloud"


def test_every_pinned_package_that_is_installed_is_in_the_bill_with_its_version() -> None:
    listed = {part["name"]: part["version"] for part in BILL["components"]}
    assert listed["cryptography"] == version("cryptography")
    names = {name for name, _ in PINNED}
    assert {each for each in listed.items() if each[0] in names} - PINNED == set()
    assert len(listed.keys() & names) > 50


def test_references_are_unique_and_lead_somewhere() -> None:
    refs = [part["bom-ref"] for part in BILL["components"]] + ["carcloud"]
    assert len(refs) == len(set(refs))
    assert {each["ref"] for each in BILL["dependencies"]} == set(refs)
    needs = {each["ref"]: each["dependsOn"] for each in BILL["dependencies"]}
    assert {needed for all_of_one in needs.values() for needed in all_of_one} <= set(refs)
    assert f"pkg:pypi/cryptography@{version('cryptography')}" in needs["carcloud"]


def test_most_packages_say_under_which_licence_they_stand() -> None:
    with_licence = [part for part in BILL["components"] if part.get("licenses")]
    assert len(with_licence) > 0.9 * len(BILL["components"])
