"""RAW and the broker's other stores of what cars send: all in memory, made before the first car comes in.

Rules:
* The broker would make them itself, on disk, when the first car connects. In the cars' account nothing may be stored
  on disk (see nats_server.py), so where they are missing cars are refused: ungoverned data never touches a disk.
* Each is bounded: a car that leaves retained messages or sessions behind fills no more than this.

Source: nats-server 2.15, server/mqtt.go (names and subjects of its streams).
"""

from __future__ import annotations

from carcloud.backends.nats import Bus
from carcloud.stream import subjects

LIMIT_OWN_BYTES = 16 * 1024 * 1024


async def prepare(vehicles: Bus, limit_bytes: int) -> None:
    """Make RAW, of at most `limit_bytes`, and the broker's own stores; raise TryLaterError while the broker is away."""
    await vehicles.ensure_stream(subjects.RAW, [subjects.RAW_SUBJECTS], memory=True, limit_bytes=limit_bytes)
    for name in subjects.BROKERS_OWN:
        stream, within = f"$MQTT_{name.replace('.', '')}", [f"$MQTT.{name}.>"]
        await vehicles.ensure_stream(stream, within, memory=True, limit_bytes=LIMIT_OWN_BYTES, newest_only=True)
