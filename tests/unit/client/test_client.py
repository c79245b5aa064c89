"""The Python client against the API served for real."""

import socket
import threading
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from served import CARS, MOMENT, MOMENT_US, TOKEN, Zone, status

import carcloud
from carcloud.api.ports import Last
from carcloud.backends.records import Vehicle
from carcloud.client import PAGE, Change, TruncatedWarning, Value
from carcloud.client import Zone as Client
from carcloud.errors import CarcloudError, InputError, MissingError, NotAllowedError, TryLaterError

SPEED, COUNT = "Vehicle.Speed", "Vehicle.Cabin.Door.Count"


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_wrong_token_is_not_allowed(zone: Zone) -> None:
    with pytest.raises(NotAllowedError, match="token"):
        carcloud.connect(zone.url, "wrong")


def test_address_where_nothing_answers_says_to_try_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(TryLaterError, match=f"127.0.0.1:{port}.*carcloud up"):
        carcloud.connect(f"http://127.0.0.1:{port}", TOKEN)


def test_address_of_something_else_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            peer, _ = other.accept()
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(CarcloudError, match="answered 500"):
            carcloud.connect(f"http://127.0.0.1:{other.getsockname()[1]}", TOKEN)
        thread.join()


def test_sql_gives_an_arrow_table(client: Client) -> None:
    table = client.sql("SELECT vehicle, enrolled_at FROM vehicles WHERE vehicle = $car", car=CARS[0])
    assert isinstance(table, pa.Table)
    assert table.to_pylist() == [{"vehicle": CARS[0], "enrolled_at": MOMENT}]


def test_sql_takes_times_as_parameters(client: Client) -> None:
    sql = "SELECT count(*) AS n FROM vehicles WHERE enrolled_at >= $since::TIMESTAMPTZ"
    assert client.sql(sql, since=MOMENT)["n"].to_pylist() == [3]
    assert client.sql(sql, since=datetime(2027, 1, 1, tzinfo=UTC))["n"].to_pylist() == [0]
    with pytest.raises(InputError, match="without a zone"):
        client.sql(sql, since=datetime(2027, 1, 1))
    with pytest.raises(InputError, match="is a list"):
        client.sql(sql, since=[1])


def test_truncated_rows_warn(client: Client) -> None:
    with pytest.warns(TruncatedWarning, match="more than 5 rows"):
        assert client.sql("FROM range(10)", limit=5).num_rows == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.sql("FROM range(5)", limit=5).num_rows == 5


def test_errors_come_as_their_families(client: Client, zone: Zone) -> None:
    with pytest.raises(InputError, match="line 1, column 1"):
        client.sql("SELEC 1")
    with pytest.raises(NotAllowedError, match="read only"):
        client.sql("DROP TABLE samples")
    with pytest.raises(MissingError, match="nobody"):
        client.vehicle("nobody")
    zone.twin.away = True
    with pytest.raises(TryLaterError):
        client.vehicle(CARS[0])


def test_status_and_catalogue_are_there(client: Client, zone: Zone) -> None:
    zone.bus.last = status(4)
    assert client.status()["stream"]["samples_in"] == 400
    assert client.catalogue()[SPEED].unit == "km/h"


def test_vehicles_are_listed_beyond_a_page(client: Client, zone: Zone) -> None:
    for number in range(PAGE):
        zone.records.add_vehicle(Vehicle(f"d{number:015}", "default", f"VIN{number:014}", None, "active", MOMENT))
    cars = [car.id for car in client.vehicles()]
    assert (len(cars), cars[:3]) == (PAGE + 3, list(CARS))
    zone.records.life.change(CARS[2], "revoke", MOMENT)
    assert [car.id for car in client.vehicles(state="revoked")] == [CARS[2]]


def test_values_of_a_car_are_typed(client: Client, zone: Zone) -> None:
    zone.twin.put(CARS[0], SPEED, Last(50.5, MOMENT_US, "simulated"))
    zone.twin.put(CARS[0], COUNT, Last(4, MOMENT_US, "simulated"))
    car = client.vehicle(CARS[0])
    assert (car.signal_count, car.last_seen, car.enrolled_at) == (2, MOMENT, MOMENT)
    values = car.signals(SPEED)
    assert values == {SPEED: Value(50.5, "km/h", MOMENT, values[SPEED].age_s, "simulated")}
    assert values[SPEED].age_s > 0
    assert set(car.signals("Vehicle.Cabin.*")) == {COUNT}
    assert set(car.signals()) == {SPEED, COUNT}


def test_values_of_the_fleet_come_at_once(client: Client, zone: Zone) -> None:
    zone.twin.put(CARS[0], SPEED, Last(50.5, MOMENT_US, "simulated"))
    zone.twin.put(CARS[1], COUNT, Last(4, MOMENT_US, "measured"))
    fleet = client.signals(SPEED, COUNT)
    assert {car: set(values) for car, values in fleet.items()} == {CARS[0]: {SPEED}, CARS[1]: {COUNT}}
    assert (fleet[CARS[0]][SPEED].unit, fleet[CARS[1]][COUNT].provenance) == ("km/h", "measured")


def test_live_changes_come_until_one_stops(client: Client, zone: Zone) -> None:
    def drive() -> None:
        for step in range(3):
            wait_for(lambda: len(zone.twin.watchers) == 1)
            zone.twin.put(CARS[0], SPEED, Last(float(step), MOMENT_US + step, "simulated"))
            time.sleep(0.3)

    thread = threading.Thread(target=drive)
    thread.start()
    changes: list[Change] = []
    for change in client.live([CARS[0]], [SPEED]):
        changes.append(change)
        if len(changes) == 3:
            break
    thread.join()
    assert [change.signals[SPEED].value for change in changes] == [0.0, 1.0, 2.0]
    assert changes[0].vehicle == CARS[0]
    assert changes[0].signals[SPEED].unit == "km/h"


def test_live_connects_again_after_a_cut(client: Client, zone: Zone) -> None:
    def drive() -> None:
        for step in range(2):
            wait_for(lambda: len(zone.twin.watchers) == 1)
            zone.twin.put(CARS[0], SPEED, Last(float(step), MOMENT_US + step, "simulated"))
            time.sleep(0.4)
            zone.twin.end()
            wait_for(lambda: not zone.twin.watchers)

    thread = threading.Thread(target=drive)
    thread.start()
    live = client.live()
    assert [next(live).signals[SPEED].value for _ in range(2)] == [0.0, 1.0]
    live.close()
    thread.join()


def test_live_of_an_unknown_car_is_missing(client: Client) -> None:
    with pytest.raises(MissingError):
        next(client.live(["nobody"]))
