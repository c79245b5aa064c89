"""The published frames of both editions, and rtm-con beside us on frames made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from carcloud.vehicle.gbt32960.forms import Activation, Answer, Login, Logout, PlatformLogin, PlatformLogout, Report
from carcloud.vehicle.gbt32960.frames import Cause, Edition, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.messages import read, write
from carcloud.vehicle.gbt32960.signature import activated_key, key_of_pem, verify
from tests.conformance.gbt32960.comparison import run

SHARED = Path(__file__).parents[4] / "shared/data/gbt32960"

KINDS = {"login": Login, "logout": Logout, "plt_login": PlatformLogin, "plt_logout": PlatformLogout}
KINDS |= {"ack": Answer, "activation": Activation, "data": Report, "weird": Report}
TOO_MUCH = "weird message 2025 with addtional unknown data before checksum"


@pytest.fixture(scope="module")
def frames() -> dict[str, Frame]:
    if not (SHARED / "frames.json").exists():
        pytest.skip(f"the published frames are not at {SHARED}")
    found = {}
    for name, text in json.loads((SHARED / "frames.json").read_text()).items():
        data, reader = bytes.fromhex(text), FrameReader()
        (frame,) = reader.feed(data)
        assert isinstance(frame, Frame)
        assert not reader.waiting_bytes
        assert encode(frame) == data
        found[name] = frame
    assert len(found) == 18
    return found


def test_every_published_frame_is_read_as_its_name_says_and_written_again(frames):
    for name, frame in frames.items():
        message = read(frame)
        kind = name.replace(" ", "_").removesuffix("2016").removesuffix("2025")
        key = max((key for key in KINDS if kind.startswith(key)), key=len)
        assert isinstance(message, KINDS[key]), name
        assert not isinstance(message, Report) or (message.fault is None) is (name != TOO_MUCH), name
        assert (write(message, frame.edition) == frame) is (name != TOO_MUCH), name


def test_what_stands_behind_a_signature_is_refused_with_its_reason(frames):
    report = read(frames[TOO_MUCH])
    assert isinstance(report, Report)
    assert report.fault is not None
    assert (report.fault.cause, report.fault.detail) == (Cause.STRUCTURE, "38 bytes too many; 38 bytes are refused")
    assert [unit.name for unit in report.units] == ["vehicle", "motors", "position", "alarms", "cells", "temperatures"]
    (pack,) = report.units[4].fields["packs"]
    (probes,) = report.units[5].fields["packs"]
    assert (len(pack["cells"]), pack["cells"].values[0], len(probes["probes"])) == (180, 3.957, 48)


def test_the_batterys_current_equals_the_vehicles_in_both_editions(frames):
    for name in (TOO_MUCH, "data_2016"):
        report = read(frames[name])
        assert isinstance(report, Report)
        units = {unit.name: unit.fields for unit in report.units}
        assert units["cells"]["packs"][0]["current"] == units["vehicle"]["current"]


def test_the_signatures_of_2025_verify_with_the_published_key(frames):
    key = key_of_pem((SHARED / "rsa2048_public.pem").read_bytes())
    messages = [read(frame) for frame in frames.values() if frame.edition is Edition.E2025]
    signed = [message for message in messages if isinstance(message, Report | Activation)]
    assert len(signed) == 5
    assert all(verify(message, key) for message in signed)


def test_the_published_activation_brings_another_key_than_it_is_signed_by(frames):
    activation = read(frames["activation2025"])
    assert isinstance(activation, Activation)
    assert not verify(activation, activated_key(activation))


@pytest.mark.parametrize("edition", Edition)
def test_rtm_con_and_we_agree_value_by_value_both_ways(edition):
    counted = run(300, edition, seed=1_000_000)
    assert counted["values"] > 5_000
