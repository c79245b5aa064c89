"""The door over TLS with clients' certificates, by real sockets: a car comes in by its own, and as itself only."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.gateway.enrolment import Endpoints, enrol
from carcloud.gateway.gate import Gate
from carcloud.gateway.gbt32960.admission import Admission
from carcloud.gateway.gbt32960.delivery import Delivery
from carcloud.gateway.gbt32960.door import Door
from carcloud.gateway.gbt32960.numbers import Numbers
from carcloud.gateway.gbt32960.settings import Gbt32960Settings
from carcloud.gateway.gbt32960.terminals import add_terminal
from carcloud.gateway.gbt32960.tls import bound, serve
from carcloud.gateway.https import ssl_context
from carcloud.safety.identity import Authority, Credentials, Trust
from carcloud.vehicle.batch import IdTable
from carcloud.vehicle.gbt32960.forms import Login, Message
from carcloud.vehicle.gbt32960.frames import AnswerCode, Edition, encode
from carcloud.vehicle.gbt32960.sealing import Keys
from carcloud.vehicle.gbt32960.writing import write

MINE, OTHER = "LSVAA4182E2000001", "LSVAA4182E2000002"


def shows(given: Credentials, trust: Path, folder: Path) -> ssl.SSLContext:
    """Return the TLS of a car with these credentials, which knows the door by the zone's authority."""
    folder.mkdir()
    (folder / "chain.pem").write_bytes(given.chain)
    (folder / "key.pem").write_bytes(given.key)
    tls = ssl.create_default_context(cafile=trust)
    tls.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return tls


async def answer(port: int, tls: ssl.SSLContext, vin: str) -> int | None:
    """Return the answer to a login as this VIN, None where the door ends the connection first."""
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost")
            message: Message = Login(vin, datetime.now(UTC).replace(microsecond=0), 1, "8" * 20)
            writer.write(encode(write(message, Edition.E2016)))
            said = await reader.read(64)
            writer.close()
    except OSError:
        return None
    return said[3] if said else None


async def served(records: Records, keys: Path, ask: Callable[[int, Door], Awaitable[None]]) -> None:
    """Run the door at a port of its own while it is asked."""
    settings = Gbt32960Settings(tls_port=1, tls_clients=True, sessions=20)
    delivery = Delivery(Bus(), Numbers(keys / "numbers.sqlite"), IdTable((("Vehicle.Speed", None),)))
    door = Door(settings, Admission(records), delivery, Gate(records), Keys())
    tls = ssl_context(Trust(keys), "1.2", ask=settings.tls_clients)
    (listening,) = bound("127.0.0.1", 0)
    serving = asyncio.ensure_future(serve(door, listening, tls))
    await ask(listening.getsockname()[1], door)
    serving.cancel()


def test_a_certificate_of_the_zone_lets_in_its_own_car_and_nobody_else(
    records: Records, authority: Authority, endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carcloud.gateway.gbt32960.connection.NEW_S", 0.0)
    authority.server_certificate(["localhost"])
    keys, trust = tmp_path / "keys", authority.server_trust
    mine = shows(enrol(records, authority, MINE, endpoints).credentials, trust, tmp_path / "mine")
    stranger = Authority(tmp_path / "elsewhere").issue_vehicle("car", "default")
    foreign = shows(stranger, trust, tmp_path / "foreign")
    for vin in (MINE, OTHER):
        add_terminal(records, vin, None, "default", "machine")

    async def ask(port: int, door: Door) -> None:
        assert await answer(port, mine, OTHER) == AnswerCode.ERROR
        assert await answer(port, mine, MINE) == AnswerCode.OK
        assert await answer(port, ssl.create_default_context(cafile=trust), MINE) is None, "without a certificate"
        assert await answer(port, foreign, MINE) is None, "with one of another authority"
        assert door.faults()["wrong_certificate"] == 1
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        assert await answer(port, mine, MINE) in (AnswerCode.OK, AnswerCode.DUPLICATE), "past silent ones"
        assert len(door.places) <= 5, "of one address"
        assert door.faults()["too_many_connections"] >= 25
        for _, writer in silent:
            writer.close()

    asyncio.run(served(records, keys, ask))
