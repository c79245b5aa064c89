"""The kuksa door: the unchanged client of Eclipse KUKSA, and bad input by the stubs themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import grpc
import pytest
from kuksa.val.v1 import types_pb2 as types_v1
from kuksa.val.v1 import val_pb2 as val_v1
from kuksa.val.v1 import val_pb2_grpc as stubs_v1
from kuksa.val.v2 import types_pb2 as types_v2
from kuksa.val.v2 import val_pb2 as val_v2
from kuksa.val.v2 import val_pb2_grpc as stubs_v2
from kuksa_client.grpc import Datapoint, VSSClientError
from kuksa_client.grpc.aio import VSSClient
from ordered_zone import OrderedZone
from served import CARS, TOKEN

from carcloud.api.kuksa.server import make_server
from carcloud.api.ports import Access
from carcloud.errors import ConflictError
from carcloud.safety.grants.desk import revoke
from carcloud.safety.people.register import Register
from tests.granted import granted

CAR, OTHER, _ = CARS
SPEED, LOCKED = "Vehicle.Speed", "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
WARM = "Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature"
GEAR = "Vehicle.Powertrain.Transmission.CurrentGear"
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderedZone]:
    made = OrderedZone(tmp_path_factory.mktemp("kuksa"))
    made.door("lock", "unlock", "climate-temperature", name="kuksa")
    made.say(SPEED, 50.5)
    made.say(GEAR, 1)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def fleet(zone: OrderedZone) -> str:
    return token(zone, "fleet")


def token(zone: OrderedZone, role: str, app: str | None = None) -> str:
    return Register(zone.records).make_token(None, role, [role], 30, "default", app)[1]


Work = Callable[[int], Coroutine[Any, Any, Any]]


def served(zone: OrderedZone, work: Work) -> Any:
    """Run the door for a while, in the loop of the test."""

    async def run() -> Any:
        for port in range(40_123, 41_000):
            try:
                server = make_server(zone.ports, Access(TOKEN), f"127.0.0.1:{port}")
                break
            except ConflictError:  # somebody has that port
                continue
        await server.start()
        try:
            async with asyncio.timeout(30):
                return await work(port)
        finally:
            await server.stop(0)

    return asyncio.run(run())


def client(port: int, secret: str) -> VSSClient:
    return VSSClient("127.0.0.1", port, token=secret)


def test_kuksa_client_reads_subscribes_and_sets(zone: OrderedZone, fleet: str) -> None:
    async def work(port: int) -> None:
        async with client(port, f"{CAR}:{fleet}") as car:
            info = await car.get_server_info()
            assert info is not None
            assert info.name == "carcloud"
            values = await car.get_current_values([SPEED, GEAR])
            assert (values[SPEED].value, values[GEAR].value) == (50.5, 1)
            assert values[SPEED].timestamp is not None
            known = await car.get_metadata([SPEED, WARM, "Vehicle.ADAS.ActiveAutonomyLevel"])
            assert (known[SPEED].unit, known[SPEED].data_type.name, known[SPEED].entry_type.name) == (
                "km/h",
                "FLOAT",
                "SENSOR",
            )
            levels = known["Vehicle.ADAS.ActiveAutonomyLevel"].value_restriction
            assert levels is not None
            assert "SAE_2" in levels.allowed_values
            async for updates in car.subscribe_current_values([SPEED]):
                if updates[SPEED].value == 61.5:
                    break
                zone.say(SPEED, 61.5)
            await car.set_target_values({LOCKED: Datapoint(True), WARM: Datapoint(21.5)})
            targets = await car.get_target_values([LOCKED, WARM])
            assert (targets[LOCKED].value, targets[WARM].value) == (True, 21.5)
            assert targets[WARM].timestamp is not None, "when it was ordered"
            (limits,) = (one.value_restriction for one in (await car.get_metadata([WARM])).values())
            assert limits is not None
            assert (limits.min, limits.max) == (16.0, 28.0)

    served(zone, work)
    orders = zone.records.orders.listed("default", CAR)
    assert {one.command for one in orders} == {"lock", "climate-temperature"}
    (door,) = [one for one in zone.pair.people.all() if one.name == "kuksa"]
    assert {one.keys for one in orders} == {door.key}


def test_kuksa_client_follows_a_branch(zone: OrderedZone, fleet: str) -> None:
    async def work(port: int) -> None:
        async with client(port, f"{CAR}:{fleet}") as car:
            async for updates in car.subscribe_current_values(["Vehicle.Powertrain.Transmission"]):
                assert GEAR in updates
                return

    served(zone, work)


def test_kuksa_client_is_told_what_it_may_not_set(zone: OrderedZone, fleet: str) -> None:
    async def work(port: int) -> None:
        async with client(port, f"{CAR}:{fleet}") as car:
            for wrong, code in (
                ({SPEED: Datapoint(3.0)}, 400),
                ({WARM: Datapoint(99.0)}, 400),
                ({"Vehicle.Body.Hood.IsOpen": Datapoint(True)}, 400),
                ({"Vehicle.Body.Horn.IsActive": Datapoint(True)}, 403),
            ):
                with pytest.raises(VSSClientError) as refused:
                    await car.set_target_values(wrong)
                assert refused.value.error["code"] == code
            with pytest.raises(VSSClientError) as refused:
                await car.set_target_values({"Vehicle.Nothing": Datapoint(True)})
            assert refused.value.error["code"] == 404
            with pytest.raises(VSSClientError) as refused:
                await car.set_current_values({LOCKED: Datapoint(True)})
            assert refused.value.error["code"] == Code.PERMISSION_DENIED.value[0]
            with pytest.raises(VSSClientError) as refused:
                await car.get_current_values(["Vehicle.Nothing"])
            assert refused.value.error["code"] == 404

    before = len(zone.records.orders.listed("default"))
    served(zone, work)
    assert len(zone.records.orders.listed("default")) == before


def test_several_are_set_only_where_each_may_be_ordered(zone: OrderedZone, fleet: str) -> None:
    horn = "Vehicle.Body.Horn.IsActive"

    async def work(port: int) -> None:
        async with client(port, f"{CAR}:{fleet}") as car:
            with pytest.raises(VSSClientError) as refused:
                await car.set_target_values({LOCKED: Datapoint(False), horn: Datapoint(True)})
            assert refused.value.error["code"] == 403
        said = (("authorization", f"Bearer {CAR}:{fleet}"),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = stubs_v2.VALStub(channel)
            for paths, code in (
                ((LOCKED, horn), Code.PERMISSION_DENIED),
                ((LOCKED, LOCKED), Code.INVALID_ARGUMENT),
            ):
                yes = types_v2.Value(bool=True)
                each = [val_v2.ActuateRequest(signal_id=types_v2.SignalID(path=path), value=yes) for path in paths]
                asked = val_v2.BatchActuateRequest(actuate_requests=each)
                assert await code_of(stub.BatchActuate(asked, metadata=said)) == code

    before = len(zone.records.orders.listed("default"))
    served(zone, work)
    assert len(zone.records.orders.listed("default")) == before


def test_a_wrong_token_reaches_nothing(zone: OrderedZone, fleet: str) -> None:
    async def work(port: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            one, two = stubs_v1.VALStub(channel), stubs_v2.VALStub(channel)
            get = val_v1.GetRequest(entries=[val_v1.EntryRequest(path=SPEED)])
            for secret in (None, "Bearer wrong", f"Bearer {CAR}:wrong", f"Basic {fleet}"):
                said = (("authorization", secret),) if secret else ()
                for call in (
                    one.Get(get, metadata=said),
                    one.GetServerInfo(val_v1.GetServerInfoRequest(), metadata=said),
                ):
                    assert await code_of(call) == Code.UNAUTHENTICATED
            many = (("authorization", f"Bearer {fleet}"),)
            assert await code_of(one.Get(get, metadata=many)) == Code.INVALID_ARGUMENT, "which of three cars?"
            for car in ("nobody", OTHER[:-1] + "x"):
                said = (("authorization", f"Bearer {car}:{fleet}"),)
                assert await code_of(one.Get(get, metadata=said)) == Code.NOT_FOUND
                speed = val_v2.GetValueRequest(signal_id=types_v2.SignalID(path=SPEED))
                assert await code_of(two.GetValue(speed, metadata=said)) == Code.NOT_FOUND

    served(zone, work)


async def code_of(call: Any) -> Any:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return Code.OK


def test_version_two_by_path_and_by_number(zone: OrderedZone, fleet: str) -> None:
    async def work(port: int) -> None:
        said = (("authorization", f"Bearer {CAR}:{fleet}"),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = stubs_v2.VALStub(channel)
            listed = await stub.ListMetadata(val_v2.ListMetadataRequest(root="Vehicle.Cabin.HVAC"), metadata=said)
            by_path = {one.path: one for one in listed.metadata}
            assert by_path[WARM].data_type == types_v2.DATA_TYPE_FLOAT
            (speed,) = (await stub.ListMetadata(val_v2.ListMetadataRequest(root=SPEED), metadata=said)).metadata
            ids = [types_v2.SignalID(id=speed.id), types_v2.SignalID(path="Vehicle.ADAS.ESC.IsEngaged")]
            points = (await stub.GetValues(val_v2.GetValuesRequest(signal_ids=ids), metadata=said)).data_points
            assert points[0].value.HasField("float")
            assert not points[1].HasField("value")
            follow = val_v2.SubscribeByIdRequest(signal_ids=[speed.id])
            async for answer in stub.SubscribeById(follow, metadata=said):
                assert set(answer.entries) == {speed.id}
                break
            ended = [
                one
                async for one in stub.Subscribe(
                    val_v2.SubscribeRequest(signal_paths=[SPEED], filter=types_v2.Filter(duration_ms=200)),
                    metadata=said,
                )
            ]
            assert len(ended) >= 1
            lock = val_v2.ActuateRequest(signal_id=types_v2.SignalID(path=LOCKED), value=types_v2.Value(bool=False))
            await stub.Actuate(lock, metadata=said)
            lock_id, speed_id = types_v2.SignalID(path=LOCKED), types_v2.SignalID(path=SPEED)
            one = types_v2.Value(float=1)
            for asked, code in (
                ({"signal_id": lock_id}, Code.INVALID_ARGUMENT),
                ({"signal_id": lock_id, "value": types_v2.Value(string="x")}, Code.INVALID_ARGUMENT),
                ({"signal_id": speed_id, "value": one}, Code.INVALID_ARGUMENT),
                ({"signal_id": types_v2.SignalID(id=0), "value": one}, Code.NOT_FOUND),
                ({"signal_id": types_v2.SignalID(id=99999), "value": one}, Code.NOT_FOUND),
                ({}, Code.NOT_FOUND),
            ):
                assert await code_of(stub.Actuate(val_v2.ActuateRequest(**asked), metadata=said)) == code, asked
            both = val_v2.BatchActuateRequest(actuate_requests=[lock, val_v2.ActuateRequest()])
            before = len(zone.records.orders.listed("default"))
            assert await code_of(stub.BatchActuate(both, metadata=said)) == Code.NOT_FOUND
            assert len(zone.records.orders.listed("default")) == before, "all or none"

    served(zone, work)


def test_bad_lists_and_what_is_not_offered(zone: OrderedZone, fleet: str) -> None:
    async def work(port: int) -> None:
        said = (("authorization", f"Bearer {CAR}:{fleet}"),)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            one, two = stubs_v1.VALStub(channel), stubs_v2.VALStub(channel)

            async def first(call: Any) -> Any:
                try:
                    async for _ in call:
                        return Code.OK
                except grpc.aio.AioRpcError as error:
                    return error.code()
                return Code.OK

            for request, code in (
                (val_v2.SubscribeRequest(), Code.INVALID_ARGUMENT),
                (val_v2.SubscribeRequest(signal_paths=["Vehicle.Nothing"]), Code.NOT_FOUND),
                (val_v2.SubscribeRequest(signal_paths=["Vehicle.Cabin"]), Code.NOT_FOUND),
                (val_v2.SubscribeRequest(signal_paths=[SPEED] * 2001), Code.INVALID_ARGUMENT),
                (val_v2.SubscribeRequest(signal_paths=[SPEED], buffer_size=1001), Code.INVALID_ARGUMENT),
            ):
                assert await first(two.Subscribe(request, metadata=said)) == code
            for view, fields in (
                (types_v1.VIEW_TARGET_VALUE, []),
                (types_v1.VIEW_FIELDS, [types_v1.FIELD_METADATA]),
                (types_v1.VIEW_CURRENT_VALUE, [types_v1.FIELD_METADATA_UNIT]),
                (types_v1.VIEW_FIELDS, [types_v1.FIELD_VALUE, types_v1.FIELD_ACTUATOR_TARGET]),
            ):
                entry = val_v1.SubscribeEntry(path=LOCKED, view=view, fields=fields)
                follow = val_v1.SubscribeRequest(entries=[entry])
                assert await first(one.Subscribe(follow, metadata=said)) == Code.UNIMPLEMENTED, (view, fields)
            assert (
                await first(two.OpenProviderStream(iter([val_v2.OpenProviderStreamRequest()]), metadata=said))
                == Code.UNIMPLEMENTED
            )
            assert await code_of(one.Get(val_v1.GetRequest(), metadata=said)) == Code.INVALID_ARGUMENT
            huge = val_v2.SubscribeRequest(signal_paths=["x" * 1000] * 2000)
            assert await first(two.Subscribe(huge, metadata=said)) == Code.RESOURCE_EXHAUSTED

    served(zone, work)


def test_a_grant_opens_one_car_without_naming_it_and_its_end_ends_the_stream(zone: OrderedZone) -> None:
    secret = token(zone, "partner", "insurer")
    grant = granted(zone.records, zone.ground, CAR, "app:insurer", "operation", paths=(SPEED,))
    zone.at_us = time.time_ns() // 1000
    zone.say(SPEED, 71.0)

    async def work(port: int) -> None:
        async with client(port, secret) as car:
            assert (await car.get_current_values([SPEED]))[SPEED].value == 71.0
            with pytest.raises(VSSClientError):
                await car.get_current_values([LOCKED])
            with pytest.raises(VSSClientError):
                await car.set_target_values({LOCKED: Datapoint(True)})
            with pytest.raises(VSSClientError) as ended:  # noqa: PT012
                async for updates in car.v2_subscribe([SPEED]):
                    assert updates
                    revoke(zone.records, zone.ground, CAR, grant.id, "test")
                    await zone.ports.grants.heard("", b"")
            assert ended.value.error["code"] == Code.PERMISSION_DENIED.value[0]

    served(zone, work)


def test_a_token_that_ended_ends_the_stream(zone: OrderedZone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carcloud.api.visit.LOOK_EVERY_S", 0.1)
    register = Register(zone.records)
    made, secret = register.make_token(None, "short", ["fleet"], 30, "default", None)

    async def work(port: int) -> None:
        async with client(port, f"{CAR}:{secret}") as car:
            with pytest.raises(VSSClientError) as ended:  # noqa: PT012
                async for _ in car.v2_subscribe([SPEED]):
                    register.revoke_token(None, made.id, "default")
            assert ended.value.error["code"] == Code.UNAUTHENTICATED.value[0]

    served(zone, work)
