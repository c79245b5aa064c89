"""A relay in trouble: texts written to break it, cars never answered, a clock set back, a consent withdrawn."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from carcloud.gateway.https import ssl_context
from carcloud.gateway.relay import logins, relay
from carcloud.gateway.relay.reports import Said
from carcloud.safety import identity
from carcloud.vehicle.gbt32960.messages import Report
from tests.authority import Authority, listening
from tests.granted import consent
from tests.unit.gateway.test_relay import SPEED, VINS, bench, ran, speeds


@pytest.fixture
def authority() -> Authority:
    return Authority("me", "open sesame", set(VINS))


@ran
async def test_text_written_to_break_a_report_is_left_out_of_it_and_counted(records, tmp_path, authority):
    poison = {
        "Vehicle.GBT32960.Alarm.BatteryCodes": "[1e999]",
        "Vehicle.GBT32960.Oem": "[" * 5000,
        "Vehicle.GBT32960.Alarm.Levels": '{"BRAKES": 1' + "0" * 400 + "}",
    }
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        at = int(here.now.timestamp()) - 10
        said = [("city", Said(here.cars[0], at, poison | {SPEED: 1.0})), ("city", Said(here.cars[1], at, {SPEED: 2.0}))]
        await here.spool(lambda spool: spool.take(1, said, at))
        shown = await here.until(lambda shown: shown["accepted"] == 2)
    assert (shown["unsaid"], shown["dropped"], speeds(authority)) == (3, 0, [1.0, 2.0])


@ran
async def test_fault_over_one_report_drops_that_and_is_logged_without_its_words(
    records, tmp_path, authority, monkeypatch, caplog
):
    def units_of(values, *rest):
        if values[SPEED] == 1.0:
            raise MemoryError("secret words")
        return whole(values, *rest)

    whole = relay.units_of
    monkeypatch.setattr(relay, "units_of", units_of)
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        await here.came((here.cars[0], 1.0), (here.cars[0], 2.0))
        shown = await here.until(lambda shown: shown["accepted"] == 1 and shown["dropped"] == 1)
    assert (shown["waiting"], len(authority.logins)) == (0, 1)
    (said,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "MemoryError, test_relay_trouble.py" in said.reason
    assert "secret" not in str(vars(said))


@ran
async def test_fault_in_a_session_waits_as_a_cut_line_does(records, tmp_path, authority, monkeypatch):
    monkeypatch.setattr(relay.Relay, "_give_back_unanswered", lambda self: 1 / 0)
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        for tries in range(1, 5):
            shown = await here.until(lambda shown, tries=tries: here.failures == tries and shown["state"] == "waiting")
            assert "ZeroDivisionError" in shown["last_error"]
            wait = datetime.fromisoformat(shown["next_try"]) - here.now
            assert wait == timedelta(minutes=1 if tries <= 3 else 30), "the login alone counts as success"
            here.now += wait
        assert here.relay.alarms[0]["code"] == "relay_away"


@ran
async def test_car_whose_login_is_never_answered_waits_and_holds_up_no_other(records, tmp_path, authority, monkeypatch):
    monkeypatch.setattr(logins, "ANSWER_S", 0.5)
    authority.mute = {VINS[0]}
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        await here.came((here.cars[0], 1.0), (here.cars[1], 2.0), (here.cars[1], 3.0))
        shown = await here.until(lambda shown: shown["accepted"] == 2 and here.acts("refuseRelay"))
        assert (shown["state"], shown["waiting"]) == ("up", 1)
        assert here.cars[0] in shown["last_error"]
        assert here.acts("refuseRelay") == [("denied", {"to": "centre", "vehicle": here.cars[0], "answer": None})]
        authority.mute = set()
        await asyncio.sleep(0.5)
        assert authority.cars == [VINS[1]], "it is asked for again before its time"
        here.now += timedelta(minutes=1)
        await here.until(lambda shown: shown["accepted"] == 3)
    assert (len(authority.logins), authority.wrongs) == (1, [])


@ran
async def test_car_whose_reports_are_never_answered_waits_and_holds_up_no_other(
    records, tmp_path, authority, monkeypatch
):
    monkeypatch.setattr(relay, "AGAIN_S", 0.5)
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        await here.came((here.cars[0], 1.0))
        await here.until(lambda shown: shown["accepted"] == 1)
        authority.mute = {VINS[0]}
        await here.came(*[(here.cars[0], 2.0)] * 40, (here.cars[1], 3.0), chunk=2)
        await here.until(lambda shown: shown["accepted"] == 2)
        await here.until(lambda shown: here.cars[0] in here.relay._logins.aside)
        authority.mute = set()
        here.now += timedelta(minutes=1)
        await here.until(lambda shown: shown["accepted"] == 42)
    assert (len(authority.logins), authority.wrongs) == (1, [])


@ran
async def test_clock_set_back_by_a_month_keeps_nobody_waiting_for_it(records, tmp_path, authority):
    async with listening(authority):
        pass  # it has its port, and is away
    async with bench(records, tmp_path, authority.port) as here:
        here.now += timedelta(days=30)
        await here.until(lambda shown: shown["last_error"])
        await here.came((here.cars[0], 1.0))
        here.now -= timedelta(days=30)
        async with listening(authority):
            shown = await here.until(lambda shown: shown["oldest_waiting"] and shown["oldest_waiting"] < "2026-11-02")
            assert datetime.fromisoformat(shown["next_try"]) - here.now <= timedelta(minutes=30)
            here.now += timedelta(minutes=30)
            await here.until(lambda shown: shown["accepted"] == 1)


@ran
async def test_logout_has_the_serial_of_its_login_and_serials_begin_with_the_day_of_the_wire(
    records, tmp_path, authority
):
    async with listening(authority):
        async with bench(records, tmp_path, authority.port) as here:
            await here.until(lambda shown: shown["state"] == "up")
        for at, serial in (((1, 15), 2), ((1, 16), 1), ((2, 0), 2)):
            async with bench(records, tmp_path, authority.port, cars=here.cars) as again:
                again.now = datetime(2026, 11, *at, tzinfo=UTC)
                await again.until(lambda shown, serial=serial: shown["state"] == "up")
                assert authority.logins[-1] == serial
    assert authority.logouts == authority.logins == [1, 2, 1, 2]


@ran
async def test_consent_withdrawn_while_the_line_is_cut_takes_what_waits_with_it(records, tmp_path, authority):
    async with listening(authority):
        pass  # it has its port, and is away
    async with bench(records, tmp_path, authority.port, basis="consent") as here:
        for car in here.cars:
            consent(records, here.ground, car, "reporting")
        here.now = datetime.now(UTC)
        here.relay.cars.look()
        await here.came((here.cars[0], 1.0), (here.cars[1], 2.0))
        await here.relay.forget_others()
        assert (await here.relay.shown())["waiting"] == 2
        consent(records, here.ground, here.cars[0], "reporting", agreed=False)
        here.relay.cars.look()
        await here.relay.forget_others()
        assert (await here.relay.shown())["dropped"] == 1
        async with listening(authority):
            here.now += timedelta(minutes=1)
            await here.until(lambda shown: shown["accepted"] == 1)
    assert [report.vin for report in authority.reports] == [VINS[1]]


@ran
async def test_over_tls_the_platform_is_known_by_its_authority_alone(records, tmp_path, authority):
    given = identity.Authority(tmp_path / "keys")
    given.server_certificate(["localhost"])
    tls = ssl_context(identity.Trust(tmp_path / "keys"), "1.2", ask=False)
    async with listening(authority, tls):
        async with bench(records, tmp_path, authority.port, line=f'ca: "{given.server_trust}"') as here:
            await here.came((here.cars[0], 1.0))
            await here.until(lambda shown: shown["accepted"] == 1)
        async with bench(records, tmp_path, authority.port, line="tls: true", cars=here.cars) as again:
            shown = await again.until(lambda shown: shown["last_error"])
            assert "SSLCertVerificationError" in shown["last_error"]
    assert len(authority.logins) == 1
    assert all(isinstance(report, Report) for report in authority.reports)
