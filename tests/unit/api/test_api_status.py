"""Health, status, history and metrics."""

import httpx
import pytest
from served import Zone, status

from carcloud.api.history import POINTS, History


def test_zone_is_starting_until_its_processes_report(api: httpx.Client, zone: Zone) -> None:
    answer = api.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "starting")
    refused = api.get("/v1/status")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "try_later")
    assert "carcloud_up 0.0" in api.get("/metrics").text


def test_zone_with_every_part_up_is_ok(stranger: httpx.Client, zone: Zone) -> None:
    zone.bus.last = status()
    answer = stranger.get("/healthz")
    assert (answer.status_code, answer.json()["status"], answer.json()["zone"]) == (200, "ok", "test")
    assert answer.json()["parts"]["governor"]["since"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    "trouble",
    [
        {"parts": {"twin": {"state": "restarting", "pid": None, "since": None, "restarts": 2}}},
        {"alarms": [{"code": "disk_full", "message": "Full.", "do": "Free it.", "since": "2026-03-01T12:00:00+00:00"}]},
    ],
)
def test_zone_with_a_part_away_or_an_alarm_is_degraded(api: httpx.Client, zone: Zone, trouble: dict) -> None:
    zone.bus.last = status(**trouble)
    answer = api.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "Full." not in answer.text
    assert answer.json()["alarms"] == [alarm["code"] for alarm in trouble.get("alarms", [])]


def test_status_says_that_a_laboratory_is_not_for_personal_data(api: httpx.Client, zone: Zone) -> None:
    zone.bus.last = status(5)
    answer = api.get("/v1/status").json()
    assert answer["personal_data"] is False
    assert answer["at"] == "2026-03-01T12:00:05Z"
    assert answer["stream"]["refused"] == {"flood": 5}
    assert answer["stream"]["raw_waiting"] == 0


def test_history_shows_rates_a_second(api: httpx.Client, zone: Zone) -> None:
    for second in (0, 1, 1, 3):
        zone.history.record(status(second))
    answer = api.get("/v1/status/history").json()
    assert answer["at"] == ["2026-03-01T12:00:01Z", "2026-03-01T12:00:03Z"]
    assert answer["samples_in_s"] == [100.0, 100.0]
    assert answer["refused_s"] == [1.0, 1.0]
    assert answer["lake_rows"] == [90, 270]
    assert answer["lake_delay_s"] == [1.0, 1.0]


def test_history_has_no_rate_where_a_counter_began_anew() -> None:
    history = History()
    history.record(status(5))
    history.record(status(6, stream={"samples_in": 3}))
    assert history.columns()["samples_in_s"] == [None]


def test_history_keeps_a_quarter_of_an_hour() -> None:
    history = History()
    for second in range(POINTS + 50):
        history.record(
            status() | {"at": f"2026-03-01T{12 + second // 3600}:{second // 60 % 60:02}:{second % 60:02}+00:00"}
        )
    assert len(history.columns()["at"]) == POINTS


def test_metrics_are_prometheus_text_with_help(stranger: httpx.Client, zone: Zone) -> None:
    zone.bus.last = status(2)
    zone.bus.told = {"governor": {"process": "governor", "at": "x", "cpu_s": 1.5}}
    answer = stranger.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        "# HELP carcloud_samples_in_total Samples received from cars",
        "carcloud_samples_in_total 200.0",
        'carcloud_refused_total{cause="flood"} 2.0',
        'carcloud_delay_lake_seconds{quantile="0.99"} 2.0',
        'carcloud_part_up{part="governor"} 1.0',
        'carcloud_process{name="cpu_s",process="governor"} 1.5',
        "carcloud_lake_rows 180.0",
    ):
        assert line in answer.text
