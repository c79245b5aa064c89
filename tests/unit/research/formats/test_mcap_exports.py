"""Scenarios written as MCAP of OSI: read again the same, and read by another's library."""

from __future__ import annotations

import betterosi
import numpy as np
import pytest
from mcap.reader import make_reader

from carcloud.research.adapters.drive import reader as drives
from carcloud.research.adapters.mcap import reader
from carcloud.research.adapters.osi import reader as traces
from carcloud.research.exports import osi_mcap
from carcloud.research.exports.about import About
from tests.recorded import DRIVES, MAPPINGS, SCENARIOS, read

OMEGA = SCENARIOS / "omega_prime"
needs = pytest.mark.skipif(
    not (OMEGA.is_dir() and DRIVES.is_dir()), reason="drives and scenarios are not here (../shared/data)"
)
NUMBERS = ("x", "y", "z", "yaw", "vx", "vy", "ax", "ay")


@pytest.fixture(scope="module")
def originals():
    found = [one for path in sorted(OMEGA.glob("*.osi")) for one in read(traces, path)[0]]
    found += read(traces, OMEGA / "acc-test.osi", road=OMEGA / "straight_500m.xodr")[0]
    found += read(drives, DRIVES / "comma2k19", mapping=MAPPINGS / "comma2k19_rav4_drive.yaml")[0]
    return found


@pytest.fixture(scope="module")
def files(originals, tmp_path_factory):
    said = {one.id: About("r-1", "v-1", "CC-BY-4.0", "g-1") for one in originals}
    return osi_mcap.write(originals, tmp_path_factory.mktemp("out"), said)


@needs
def test_read_again_it_is_the_same(originals, files):
    for one, file in zip(originals, files, strict=True):
        (again,), refused = read(reader, file)
        assert not refused
        assert (again.id, again.name, again.ego, again.begin, again.origin) == (
            one.id,
            one.name,
            one.ego,
            one.begin,
            one.origin,
        )
        assert again.motion.users == one.motion.users
        for name in NUMBERS:
            assert np.array_equal(getattr(again.motion, name), getattr(one.motion, name), equal_nan=True)
        assert [(each.name, each.unit) for each in again.series] == [(each.name, each.unit) for each in one.series]
        if one.map is None:
            assert again.map is None
        else:
            for lane, same in zip(one.map.lanes, again.map.lanes, strict=True):
                assert np.array_equal(lane.left_edge, same.left_edge)
                assert (lane.name, lane.kind, lane.left, lane.right, lane.opposite, lane.limit_mps) == (
                    same.name,
                    same.kind,
                    same.left,
                    same.right,
                    same.opposite,
                    same.limit_mps,
                )


@needs
def test_licence_and_consent_are_carried_along(files):
    with files[0].open("rb") as file:
        told = {one.name: one.metadata for one in make_reader(file, validate_crcs=True).iter_metadata()}
    assert told["net.carcloud.about"] == {
        "recording": "r-1",
        "vehicle": "v-1",
        "licence": "CC-BY-4.0",
        "consent": "g-1",
    }
    assert told["net.asam.osi.trace"]["version"] == "3.8.0"


@needs
def test_betterosi_reads_it(originals, files):
    one, file = originals[0], files[0]
    truths = list(betterosi.read(file, mcap_topics=["ground_truth"]))
    assert len(truths) == one.motion.shape[1]
    assert [moving.base.position.x for moving in truths[100].moving_object] == one.motion.x[:, 100].tolist()
    assert len(truths[0].lane) == len(one.map.lanes)
