"""Messages of GB/T 32960 made up at random from its own tables: every field, with what is missing and abnormal."""

from __future__ import annotations

import random
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from carcloud.vehicle.gbt32960.forms import (
    Activation,
    ActivationAnswer,
    Answer,
    Control,
    Heartbeat,
    KeyExchange,
    Login,
    Logout,
    Message,
    Parameters,
    PlatformLogin,
    PlatformLogout,
    Query,
    Report,
    Reserved,
    Signature,
    TimeSync,
)
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.layout import ABNORMAL, Codes, Many, Number, Readings, Row, Table
from carcloud.vehicle.gbt32960.units import OEM, UNITS, Unit

SIGNS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


def text(rng: random.Random, size: int) -> str:
    return "".join(rng.choices(SIGNS, k=size))


def time(rng: random.Random) -> datetime:
    return datetime(2000, 1, 2, tzinfo=UTC) + timedelta(seconds=rng.randrange(99 * 365 * 86_400))


def number(rng: random.Random, part: Number) -> Any:
    chance = rng.random()
    if not part.bare and chance < 0.1:
        return None
    if not part.bare and chance < 0.2:
        return ABNORMAL
    raw = rng.choice((0, part.top, rng.randint(0, part.top)))
    value = (raw - part.less * part.per) / part.per
    return value if part.per > 1 else int(value)


def fields(rng: random.Random, table: Table, most: int, sentinels: bool) -> dict[str, Any]:
    """Make up the fields of a table; lists have at most `most` items."""
    found: dict[str, Any] = {}
    for part in table.parts:
        count = rng.choice((0, 1, rng.randint(0, most)))
        if isinstance(part, Number):
            found[part.name] = number(rng, part)
        elif sentinels and rng.random() < 0.1:
            found[part.name] = rng.choice((None, ABNORMAL))
        elif isinstance(part, Codes):
            found[part.name] = tuple(rng.randrange(2**32) for _ in range(count))
        elif isinstance(part, Row):
            raw = [
                rng.choice((256**part.size - rng.randint(1, 3), rng.randrange(256**part.size))) for _ in range(count)
            ]
            found[part.name] = Readings(np.array(raw, f">u{part.size}"), part.per, part.less * part.per)
        elif isinstance(part, Many):
            found[part.name] = tuple(fields(rng, part.table, most, sentinels) for _ in range(min(count, 3)))
    return found


def report(
    rng: random.Random, edition: Edition, most: int = 8, sentinels: bool = True, without: Collection[str] = ()
) -> Report:
    """Make up a report; 2025 with a signature, which signs nothing. `sentinels`: also in place of counts."""
    known = [name_and_table for name_and_table in UNITS[edition].values() if name_and_table[0] not in without]
    units = [Unit(name, fields(rng, table, most, sentinels)) for name, table in rng.sample(known, rng.randint(1, 4))]
    if rng.random() < 0.3:
        units.append(Unit(OEM, {"type": rng.randint(0x80, 0xFE), "content": rng.randbytes(rng.randint(0, 40))}))
    signature = Signature(rng.randint(1, 3), rng.randbytes(64), b"") if edition is Edition.E2025 else None
    return Report(text(rng, 17), time(rng), tuple(units), rng.random() < 0.5, signature)


def message(rng: random.Random, edition: Edition) -> Message:
    """Make up a message that is no report."""
    vin, at, serial = text(rng, 17), time(rng), rng.randrange(1, 65_532)
    makers = [
        lambda: _login(rng, edition, vin, at, serial),
        lambda: Logout(vin, at, serial),
        lambda: PlatformLogin(vin, at, serial, text(rng, rng.randint(0, 12)), text(rng, rng.randint(0, 20)), 1),
        lambda: PlatformLogout(vin, at, serial),
        lambda: Heartbeat(vin),
        lambda: TimeSync(vin),
        lambda: Answer(vin, rng.randint(1, 8), rng.choice((1, 2, 3, 4)), at),
        lambda: Query(vin, at, tuple(rng.sample(range(1, 17), 3))),
        lambda: Parameters(vin, at, {1: serial, 2: 10, 4: 7, 5: "a.b.com", 9: None, 16: ABNORMAL}),
        lambda: Control(vin, at, rng.randint(1, 7), rng.randbytes(rng.randint(0, 9))),
        lambda: Reserved(vin, rng.randint(0x83, 0xFE), rng.randbytes(rng.randint(0, 9))),
    ]
    if edition is Edition.E2025:
        signature = Signature(2, rng.randbytes(64))
        makers += [
            lambda: Activation(vin, at, text(rng, 16), rng.randbytes(65), vin, signature),
            lambda: ActivationAnswer(vin, rng.randint(1, 2), rng.randint(1, 3)),
            lambda: KeyExchange(vin, rng.randint(1, 5), rng.randbytes(16), at, at + timedelta(days=1)),
        ]
    return rng.choice(makers)()


def _login(rng: random.Random, edition: Edition, vin: str, at: datetime, serial: int) -> Login:
    if edition is Edition.E2016:
        size = rng.randint(0, 24)
        codes = tuple(text(rng, size) for _ in range(rng.randint(0, 4)))
        return Login(vin, at, serial, text(rng, 20), codes, size)
    packs = tuple(rng.randint(0, 3) for _ in range(rng.randint(0, 3)))
    return Login(vin, at, serial, text(rng, 20), tuple(text(rng, 24) for _ in range(sum(packs))), 24, packs)
