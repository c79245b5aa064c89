"""Our core profile against the published VSS 6.0 tree, and that tree against our reader."""

from importlib.resources import files
from pathlib import Path

import pytest

from carcloud.vehicle.catalogue import parse

RELEASE = Path(__file__).parents[4] / "shared/data/vss/vss_release_6.0.json"


@pytest.fixture(scope="module")
def release():
    if not RELEASE.exists():
        pytest.skip(f"the VSS 6.0 tree is not at {RELEASE}")
    return parse(RELEASE.read_bytes(), RELEASE.name)


@pytest.fixture(scope="module")
def core():
    return parse((files("carcloud.vehicle") / "core.yaml").read_bytes(), "core.yaml")


def test_every_leaf_of_the_release_is_read(release):
    assert len(release) == 1267
    kinds = [signal.kind for signal in release.values()]
    assert (kinds.count("actuator"), kinds.count("sensor"), kinds.count("attribute")) == (643, 494, 130)
    assert release["Vehicle.CurrentLocation.Latitude"].min == -90


def test_core_profile_equals_the_release(release, core):
    for path, signal in core.items():
        theirs = release[path]
        for fact in ("type", "unit", "kind", "min", "max", "allowed"):
            assert getattr(signal, fact) == getattr(theirs, fact), f"{path}: {fact}"


def test_core_profile_describes_in_its_own_words(release, core):
    copied = [path for path, signal in core.items() if signal.description == release[path].description]
    assert not copied


def test_the_release_can_follow_the_core_profile(release, core):
    after = release.succeed(core)
    assert len(after) == len(release)
    assert not any(signal.retired for signal in after.values())


def test_no_signal_of_the_core_profile_describes_a_person(core):
    personal = ("Vehicle.Driver", "Vehicle.Occupant", "VIN", "LicensePlate", "Identifier", "HeartRate")
    assert not [path for path in core for mark in personal if mark in path]
