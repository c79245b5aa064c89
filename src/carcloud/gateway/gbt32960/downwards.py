"""What a person tells a terminal: to say its parameters, to take others, to do something. The terminal answers, or not.

Rules:
* GB/T 32960 has no signature on the way down: a terminal believes whoever holds its connection. So these are acts of
  people that the zone's policies allow, and not signed orders; docs/gbt32960.md says what that means.
* What can cut a terminal off, turn it to another platform or change its software takes two people.
* A terminal is asked one thing of a kind at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, TryLaterError
from carcloud.gateway.gbt32960.car import Car
from carcloud.gateway.gbt32960.door import Door
from carcloud.vehicle.gbt32960.forms import Answer, Control, Message, Parameters, Query
from carcloud.vehicle.gbt32960.frames import Edition, Fault
from carcloud.vehicle.gbt32960.layout import Abnormal
from carcloud.vehicle.gbt32960.messages import read, read_parameters
from carcloud.vehicle.gbt32960.parameters import PARAMETERS, ParameterValue
from carcloud.vehicle.gbt32960.writing import write

ANSWER_WITHIN_S = 10.0
LIMIT_PARAMETERS = 32
LIMIT_TEXT_BYTES = 1024
CONTROLS = {"upgrade": 1, "power-off": 2, "reset": 3, "factory": 4, "drop-link": 5, "alarm": 6, "sample": 7}
"""What a terminal can be told to do, by name."""

DANGEROUS_CONTROLS = frozenset({"upgrade", "power-off", "factory", "drop-link"})
DANGEROUS_PARAMETERS = frozenset(
    {"platform", "platform_length", "platform_port", "public_platform", "public_platform_length"}
    | {"public_platform_port"}
)


def is_dangerous(wanted: Mapping[str, Any]) -> bool:
    """Tell whether what is wanted of a terminal takes two people."""
    if wanted["act"] == "control":
        return wanted.get("control") in DANGEROUS_CONTROLS
    return wanted["act"] == "set" and bool(DANGEROUS_PARAMETERS & set(wanted.get("values", {})))


def names_in(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit log says of what is wanted: names, and no values."""
    return {
        "control": wanted.get("control"),
        "parameters": sorted(wanted.get("values") or wanted.get("parameters", ())),
    }


def message_of(wanted: Mapping[str, Any], vin: str, edition: Edition, now: datetime) -> Message:
    """Return what is wanted as a message. Raise InputError where the protocol has no such thing."""
    if wanted["act"] == "query":
        names = list(wanted.get("parameters", ())) or [one.name for one in PARAMETERS[edition].values()]
        return Query(vin, now, tuple(_number(name, edition) for name in names[:LIMIT_PARAMETERS]))
    if wanted["act"] == "set":
        values = wanted.get("values", {})
        if not 0 < len(values) <= LIMIT_PARAMETERS:
            raise InputError("Nothing is to be set.", f"Give 1 to {LIMIT_PARAMETERS} parameters and their values.")
        return Parameters(vin, now, dict(sorted((_number(name, edition), value) for name, value in values.items())))
    control = CONTROLS.get(wanted.get("control") or "")
    if control is None:
        raise InputError("A terminal can do no such thing.", f"Tell it one of {', '.join(CONTROLS)}.")
    return Control(vin, now, control, _content(wanted))


async def asked(door: Door, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Tell a terminal what is wanted, and return its answer; an error as {error: {code, message, do}}."""
    try:
        known = door.cars.get(wanted["vehicle"])
        if known is None or known[1].tenant != wanted["tenant"]:
            raise MissingError(f"{wanted['vehicle']} is not connected by GB/T 32960.", "Ask again when it is.")
        connection, car = known
        frame = write(message_of(wanted, car.vin, car.edition, datetime.now(UTC)), car.edition)
        if frame.command in car.asked:
            raise ConflictError("The terminal is being asked already.", "Wait for its answer.")
        answer = await connection.ask(car, frame, ANSWER_WITHIN_S)
        if answer is None:
            raise TryLaterError(f"The terminal did not answer within {ANSWER_WITHIN_S:.0f} s.", "Ask again.")
        return _told(car, read(answer))
    except CarcloudError as error:
        return {"error": {"code": error.code, "message": error.message, "do": error.do}}


def _told(car: Car, answer: Message | Fault) -> dict[str, Any]:
    if not isinstance(answer, Answer):
        raise TryLaterError("The terminal's answer cannot be read.", "Ask again.")
    values: dict[str, int | str | None] = {}
    if answer.content:
        said = read_parameters(answer, car.edition)
        if isinstance(said, Parameters):
            names = PARAMETERS[car.edition]
            values = {names[number].name: _shown(value) for number, value in said.values.items()}
    return {"taken": answer.ok, "answer": answer.answer, "values": values}


def _shown(value: ParameterValue) -> int | str | None:
    return None if isinstance(value, Abnormal) else value


def _number(name: str, edition: Edition) -> int:
    for number, known in PARAMETERS[edition].items():
        if known.name == name:
            return number
    names = ", ".join(known.name for known in PARAMETERS[edition].values())
    raise InputError(f"A terminal of the edition of {edition.year} has no parameter {name[:40]!r}.", f"Use {names}.")


def _content(wanted: Mapping[str, Any]) -> bytes:
    text = str(wanted.get("text", "")).encode("gbk", "replace")
    if len(text) > LIMIT_TEXT_BYTES:
        raise InputError("The text is too long.", f"Use at most {LIMIT_TEXT_BYTES} bytes.")
    return bytes([int(wanted.get("level") or 0) & 0xFF]) + text if wanted["control"] == "alarm" else text
