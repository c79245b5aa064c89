"""A relay and a strict authority: sessions, answers, the cut link, and who is told of. The clock is passed in."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carcloud.backends.records import Records
from carcloud.gateway.gbt32960.terminals import add_terminal
from carcloud.gateway.relay.cars import Cars
from carcloud.gateway.relay.relay import Relay
from carcloud.gateway.relay.reports import Said
from carcloud.gateway.relay.spool import Spool
from carcloud.gateway.relay.turns import Turns
from carcloud.safety.flows.flow import parse
from carcloud.safety.flows.plan import Plan
from carcloud.safety.governance.policy import parse as parse_policy
from carcloud.safety.grants.grant import Ground, ground_of
from carcloud.safety.keys import write_file
from carcloud.settings import CORE
from carcloud.vehicle.catalogue import parse as parse_catalogue
from tests.authority import Authority, listening

CATALOGUE = parse_catalogue(CORE.read_bytes(), "core")
POLICY = """
name: reporting
purposes:
  reporting: {{basis: {basis}, why: The authority is told.}}
rules: [{{paths: ["**"], class: operational, purposes: [reporting]}}]
"""
FLOWS = """
relays:
  city: {{to: centre, address: "localhost:{port}", {line}, edition: 2025, user: me, password_file: "{file}",
    code: US, purpose: reporting, why: Law., classes: [operational], vehicles: all, until: 2027-01-01}}
"""
VINS = ["LSVAA4182E2000001", "LSVAA4182E2000002"]
SPEED = "Vehicle.Speed"


def ran(test: Callable[..., Any]) -> Callable[..., None]:
    """Run a test that awaits."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


@dataclass
class Bench:
    relay: Relay
    records: Records
    spool: Turns
    cars: list[str]
    ground: Ground
    now: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def clock(self) -> datetime:
        return self.now

    async def came(self, *said: tuple[str, float], chunk: int = 1) -> None:
        """Let reports come, each a second after the other and older than any time for settling."""
        begin = int(self.now.timestamp()) - len(said) - 10
        rows = [("city", Said(car, begin + at, {SPEED: speed})) for at, (car, speed) in enumerate(said)]
        await self.spool(lambda spool: spool.take(chunk, rows, begin))

    async def until(self, question: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait until what the relay shows is so."""
        async with asyncio.timeout(30):
            while not question(shown := await self.relay.shown()):
                await asyncio.sleep(0.02)
        return shown

    @property
    def failures(self) -> int:
        return self.relay._standing.patience.failures

    def acts(self, action: str) -> list[tuple[str, dict[str, Any]]]:
        found = [entry for entry in self.records.audit.pending(1000) if entry.action == action]
        return [(entry.outcome, json.loads(entry.facts)) for entry in found]


@asynccontextmanager
async def bench(
    records: Records,
    tmp_path: Path,
    port: int,
    basis: str = "legal-obligation",
    line: str = "tls: false",
    cars: list[str] | None = None,
) -> AsyncIterator[Bench]:
    write_file(tmp_path / "password", b"open sesame\n")
    flows = parse(FLOWS.format(port=port, line=line, file=tmp_path / "password"), "flows")
    policy = parse_policy(POLICY.format(basis=basis), "policy")
    cars = cars or [add_terminal(records, vin, None, "default", "machine").id for vin in VINS]
    turns = Turns(Spool(tmp_path / "spool.sqlite"))
    found: list[Bench] = []

    def clock() -> datetime:
        return found[0].now if found else Bench.now

    flow = flows.relays["city"]
    plan = Plan(flow, policy, CATALOGUE)
    ground = ground_of("zone", policy, CATALOGUE)
    known = Cars(flow, plan, ground, records, "default", clock)
    relay = Relay(flow, flows, known, turns, records, "default", clock)
    found.append(Bench(relay, records, turns, cars, ground))
    known.look()
    task = asyncio.create_task(relay.run())
    try:
        yield found[0]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        turns.close()


@pytest.fixture
def authority() -> Authority:
    return Authority("me", "open sesame", set(VINS))


def speeds(authority: Authority) -> list[float]:
    return sorted(
        float(unit.fields["speed"]) for one in authority.reports for unit in one.units if unit.name == "vehicle"
    )


@ran
async def test_reports_are_told_once_under_the_cars_vins(records, tmp_path, authority):
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        await here.until(lambda shown: shown["state"] == "up")
        await here.came((here.cars[0], 10.0), (here.cars[1], 20.0), (here.cars[0], 30.0))
        shown = await here.until(lambda shown: shown["accepted"] == 3)
        assert (shown["waiting"], shown["cars"], shown["last_error"]) == (0, 2, None)
    assert speeds(authority) == [10.0, 20.0, 30.0]
    assert sorted({report.vin for report in authority.reports}) == VINS
    assert not any(report.resent for report in authority.reports)
    assert authority.wrongs == []


@ran
async def test_a_week_without_the_link_is_told_when_it_is_back_and_no_older_one(records, tmp_path, authority):
    async with listening(authority):
        pass  # it has its port, and is away
    async with bench(records, tmp_path, authority.port) as here:
        await here.until(lambda shown: shown["last_error"] and shown["state"] == "waiting")
        for day in range(8):
            await here.came((here.cars[0], float(day)), chunk=day + 1)
            here.now += timedelta(hours=23)
            await here.until(lambda shown: shown["next_try"] is None or shown["next_try"] > _text(here.now))
        shown = await here.until(lambda shown: shown["expired"] == 1)
        assert (shown["waiting"], shown["sent"]) == (7, 0)
        async with listening(authority):
            here.now += timedelta(minutes=29)
            await asyncio.sleep(0.5)
            assert authority.logins == [], "it came back before its time"
            here.now += timedelta(minutes=2)
            shown = await here.until(lambda shown: shown["accepted"] == 7)
            assert (shown["waiting"], shown["state"]) == (0, "up")
    assert speeds(authority) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert all(report.resent for report in authority.reports)


@ran
async def test_report_whose_answer_is_lost_is_told_again_as_stored(records, tmp_path, authority):
    authority.silent = 1
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        await here.until(lambda shown: shown["state"] == "up")
        await here.came((here.cars[0], 10.0))
        await here.until(lambda shown: shown["state"] == "waiting")
        assert here.relay.alarms == []
        here.now += timedelta(minutes=1, seconds=1)
        await here.until(lambda shown: shown["accepted"] == 1)
    assert [report.resent for report in authority.reports] == [True]
    assert len(authority.logins) == 2


@ran
async def test_refused_login_is_noted_once_and_tried_again_by_the_rule(records, tmp_path, authority):
    authority.password = "another"
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        for tries in range(1, 6):
            await here.until(lambda shown, tries=tries: len(authority.logins) == tries and shown["state"] == "waiting")
            shown = await here.until(lambda shown: shown["next_try"] > _text(here.now))
            wait = datetime.fromisoformat(shown["next_try"]) - here.now
            assert wait == timedelta(minutes=1 if tries <= 3 else 30)
            here.now += wait
        assert "refuses the login" in shown["last_error"]
        assert here.relay.alarms[0]["code"] == "relay_away"
        assert [outcome for outcome, _ in here.acts("beginRelay")] == ["denied"]
    assert authority.wrongs == []


@ran
async def test_car_that_the_platform_does_not_know_holds_up_no_other(records, tmp_path, authority):
    authority.known = {VINS[1]}
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        await here.came(*[(here.cars[0], 1.0)] * 40, (here.cars[1], 2.0))
        shown = await here.until(lambda shown: shown["accepted"] == 1)
        assert here.cars[0] in shown["last_error"]
        assert shown["waiting"] == 40
        assert authority.cars.count(VINS[0]) == 1
        assert here.acts("refuseRelay")[0][1]["vehicle"] == here.cars[0]
        authority.known = set(VINS)
        here.now += timedelta(minutes=31)
        await here.until(lambda shown: shown["accepted"] == 41)
    assert VINS[0] not in str(shown)


@ran
async def test_report_that_is_refused_three_times_is_given_up(records, tmp_path, authority):
    authority.refuses = {VINS[0]}
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        await here.came((here.cars[0], 1.0), (here.cars[1], 2.0))
        shown = await here.until(lambda shown: shown["refused"] == 1 and shown["accepted"] == 1)
        assert (shown["waiting"], shown["sent"]) == (0, 4)


@ran
async def test_car_without_consent_is_not_told_of_and_what_waits_of_it_goes(records, tmp_path, authority):
    async with listening(authority), bench(records, tmp_path, authority.port, basis="consent") as here:
        await here.until(lambda shown: shown["state"] == "up")
        await here.came((here.cars[0], 1.0), (here.cars[1], 2.0))
        await here.relay.forget_others()
        shown = await here.until(lambda shown: shown["dropped"] == 2)
        assert (shown["cars"], shown["left_out"], shown["accepted"]) == (0, {"without_consent": 2}, 0)
    assert authority.cars == []


@ran
async def test_erased_car_is_told_of_no_more(records, tmp_path, authority):
    async with bench(records, tmp_path, authority.port or 1) as here:
        await here.came((here.cars[0], 1.0), (here.cars[1], 2.0))
        records.erasures.begin(here.cars[0], "machine")
        here.relay.cars.look()
        await here.relay.forget_others()
        assert (await here.spool(lambda spool: spool.vehicles("city"))) == {here.cars[1]}


@ran
async def test_what_no_report_can_say_is_dropped(records, tmp_path, authority):
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        rows = [("city", Said(here.cars[0], 1, {"Vehicle.Nothing": 1.0}))]
        await here.spool(lambda spool: spool.take(1, rows, here.now.timestamp() - 10))
        shown = await here.until(lambda shown: shown["dropped"] == 1)
        assert shown["waiting"] == 0


@ran
async def test_relay_whose_last_day_is_over_tells_nothing(records, tmp_path, authority):
    async with listening(authority), bench(records, tmp_path, authority.port) as here:
        await here.until(lambda shown: shown["state"] == "up")
        here.now = datetime(2027, 1, 2, tzinfo=UTC)
        await here.until(lambda shown: shown["state"] == "ended")
        await here.came((here.cars[0], 1.0))
        await asyncio.sleep(0.5)
    assert authority.reports == []


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
