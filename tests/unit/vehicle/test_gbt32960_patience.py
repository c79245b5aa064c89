"""When a platform that does not let one in is tried again."""

from datetime import UTC, datetime, timedelta

from carcloud.vehicle.gbt32960.patience import Patience


def test_platform_is_tried_thrice_a_minute_apart_then_each_half_hour():
    patience, now = Patience(), datetime(2026, 11, 1, tzinfo=UTC)
    waits = []
    for _ in range(6):
        assert patience.waits_s(now) == 0
        patience.failed(now)
        waits.append(patience.waits_s(now) / 60)
        now += timedelta(seconds=patience.waits_s(now))
    assert waits == [1, 1, 1, 30, 30, 30]
    patience.worked()
    patience.failed(now)
    assert patience.waits_s(now) == 60
