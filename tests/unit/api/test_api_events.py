"""Live changes as Server-Sent Events."""

import json
import time
from collections.abc import Iterator

import httpx
from served import CARS, MOMENT_US, Zone

from carcloud.api.ports import Last

SPEED, NAME = "Vehicle.Speed", "Vehicle.Cabin.Name"


def speed(value: float, later_us: int = 0) -> Last:
    return Last(value, MOMENT_US + later_us, "simulated")


def wait_for_watchers(zone: Zone, count: int) -> None:
    deadline = time.monotonic() + 5
    while len(zone.twin.watchers) != count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read(lines: Iterator[str]) -> tuple[str, dict]:
    name = next(line for line in lines if line.startswith("event: "))
    return name.removeprefix("event: "), json.loads(next(lines).removeprefix("data: "))


def test_changes_arrive_with_unit_time_and_provenance(api: httpx.Client, zone: Zone) -> None:
    with api.stream("GET", "/v1/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines).startswith(":")
        wait_for_watchers(zone, 1)
        zone.twin.put(CARS[0], SPEED, speed(50.5))
        assert read(lines) == (
            "signals",
            {
                "vehicle": CARS[0],
                "signals": {
                    SPEED: {"value": 50.5, "unit": "km/h", "time": "2026-03-01T12:00:00Z", "provenance": "simulated"}
                },
            },
        )


def test_only_the_chosen_cars_and_paths_are_told(api: httpx.Client, zone: Zone) -> None:
    with api.stream("GET", "/v1/events", params={"vehicles": f"{CARS[1]},{CARS[2]}", "paths": SPEED}) as stream:
        lines = stream.iter_lines()
        next(lines)
        wait_for_watchers(zone, 1)
        zone.twin.put(CARS[0], SPEED, speed(1))
        zone.twin.put(CARS[1], NAME, Last("x", MOMENT_US, "simulated"))
        zone.twin.put(CARS[1], SPEED, speed(2))
        _, event = read(lines)
        assert (event["vehicle"], set(event["signals"])) == (CARS[1], {SPEED})


def test_fast_changes_are_put_together(api: httpx.Client, zone: Zone) -> None:
    with api.stream("GET", "/v1/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        wait_for_watchers(zone, 1)
        for step in range(1, 101):
            zone.twin.put(CARS[0], SPEED, speed(step, step))
            time.sleep(0.01)
        told = 0
        while True:
            _, event = read(lines)
            told += 1
            if event["signals"][SPEED]["value"] == 100:
                break
        assert told <= 8


def test_reader_that_leaves_frees_its_place(api: httpx.Client, zone: Zone) -> None:
    for _ in range(3):
        with api.stream("GET", "/v1/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            wait_for_watchers(zone, 1)
        wait_for_watchers(zone, 0)
    assert zone.app.state.places.taken == 0


def test_stream_too_many_is_sent_away(api: httpx.Client, zone: Zone) -> None:
    zone.app.state.places.number = 1
    with api.stream("GET", "/v1/events") as first:
        lines = first.iter_lines()
        next(lines)
        answer = api.get("/v1/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "try_later")


def test_twin_that_ends_the_stream_is_told_as_an_error(api: httpx.Client, zone: Zone) -> None:
    with api.stream("GET", "/v1/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        wait_for_watchers(zone, 1)
        zone.twin.end()
        name, body = read(lines)
        assert (name, body["error"]["code"]) == ("error", "try_later")
        assert list(lines) == [""]


def test_unknown_car_or_path_is_refused_before_the_stream_begins(api: httpx.Client, zone: Zone) -> None:
    assert api.get("/v1/events?vehicles=nobody").status_code == 404
    assert api.get("/v1/events?paths=Vehicle.Sped").status_code == 400
    assert zone.app.state.places.taken == 0


def test_open_streams_do_not_hold_up_the_end(api: httpx.Client, zone: Zone) -> None:
    with api.stream("GET", "/v1/events") as stream:
        lines = stream.iter_lines()
        next(lines)
        began = time.monotonic()
        zone.server.should_exit = True
        zone.thread.join(20)
        assert not zone.thread.is_alive()
        assert time.monotonic() - began < 15
