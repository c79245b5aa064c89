"""Names on the broker: topics of cars, the streams, and the bus between the zone's processes.

Source: docs/wire.md, docs/architecture.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from carcloud.vehicle.batch import TOKEN

RAW = "$MQTT_msgs"
RAW_SUBJECTS = "$MQTT.msgs.>"
RAW_UP = "$MQTT.msgs.cc.1.*.*.up.>"
BROKERS_OWN = ("sess", "rmsgs", "qos2.in", "out")
KINDS = ("batch", "event")
RESULT = "result"  # of an order; it is answered at once or asked for again, and is never stored
GOVERNED = "GOVERNED"
GOVERNED_SUBJECTS = "governed.*"

METRICS = "zone.metrics"
PARTS = "zone.parts"
REVOKED = "zone.revoked"  # and every other change of a car's state
CAME = "zone.came"
SESSIONS = "zone.sessions"
FLOODING = "zone.flooding"
GRANT = "zone.grant"  # or a consent, which is one
ERASE = "zone.erase"
GOVERNANCE = "zone.governance"
ORDERED = "zone.ordered"
ORDER_CHANGED = "zone.order"
CHUNK = "zone.chunk"
STUCK = "zone.stuck"
RELAYS = "zone.relays"
TERMINALS = "zone.terminals"
TERMINAL_ASKED = "zone.terminal"
TENANT = "zone.tenant"  # one was suspended or resumed, or has other quotas
TWIN_GET = "twin.get"
TWIN_FLEET = "twin.fleet"
TWIN_PRESENCE = "twin.presence"
TWIN_COLUMNS = "twin.columns"
TWIN_WATCH = "twin.watch"
TWIN_CHANGED = "twin.changed"


@dataclass(frozen=True)
class Origin:
    """Who sent a message, and into which of its topics (`batch` or `event`)."""

    tenant: str
    vehicle: str
    kind: str


def origin(subject: str) -> Origin | None:
    """Read the subject a car's message is stored under; None where a token is not of the wire's alphabet."""
    tokens = subject.removeprefix("$MQTT.msgs.").split(".")
    if len(tokens) != 6 or tokens[0] != "cc" or tokens[1] != "1" or tokens[4] != "up":
        return None
    if tokens[5] not in KINDS or not all(TOKEN.fullmatch(token) for token in tokens[2:4]):
        return None
    return Origin(tokens[2], tokens[3], tokens[5])


def raw(tenant: str, vehicle: str, kind: str) -> str:
    """Return the subject under which RAW stores what a car publishes."""
    return f"$MQTT.msgs.cc.1.{tenant}.{vehicle}.up.{kind}"


def ack(tenant: str, vehicle: str) -> str:
    """Return the subject of a car's acknowledgements."""
    return f"cc.1.{tenant}.{vehicle}.dn.ack"


def order(tenant: str, vehicle: str) -> str:
    """Return the subject of a car's orders."""
    return f"cc.1.{tenant}.{vehicle}.dn.order"


def plan(tenant: str, vehicle: str) -> str:
    """Return the subject on which a car is given a plan's document, before the order that names it."""
    return f"cc.1.{tenant}.{vehicle}.dn.plan"


def order_results(tenant: str, vehicle: str) -> str:
    """Return the subject on which a car answers orders."""
    return f"cc.1.{tenant}.{vehicle}.up.{RESULT}"


def hellos(tenant: str, vehicle: str) -> str:
    """Return the subject on which a car greets its zone."""
    return f"cc.1.{tenant}.{vehicle}.up.event"


def governed(partition: int) -> str:
    """Return the subject of a partition's chunks."""
    return f"governed.{partition}"
