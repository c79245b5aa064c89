"""What VISS messages say: requests, answers, values, errors. Nothing here waits.

- A request is a JSON object of at most 64 KiB; what is in it that nobody asked for is left aside.
- Values are strings, or lists of strings; numbers as JSON writes them, booleans `true` and `false`.
- A time is in UTC, as `2026-11-23T12:00:00.123456Z`.

- The number of an error is a string, as every value is. A value that is not known, beside others that are, reads
  `viss-inline:Data-not-available`.

Source: COVESA VISS version 3.1, Core (data representation, error message, timestamps) and Transport (status codes,
in-line error reporting, messages).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from carcloud.api.ports import Last
from carcloud.api.times import from_us, now
from carcloud.api.times import text as time_text
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.vehicle.catalogue import Signal

ACTIONS = ("get", "set", "subscribe", "unsubscribe")
LIMIT_MESSAGE_BYTES = 64 * 1024
LIMIT_ID = 128
NOT_AVAILABLE = "viss-inline:Data-not-available"
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,308})(\.[0-9]{1,308})?([eE][+-]?[0-9]{1,3})?")


class BadRequestError(InputError):
    """What was sent is no VISS request."""


ERRORS: tuple[tuple[type[CarcloudError], int, str], ...] = (
    (BadRequestError, 400, "bad_request"),
    (InputError, 400, "invalid_data"),
    (MissingError, 404, "unavailable_data"),
    (TryLaterError, 503, "service_unavailable"),
    (ConflictError, 403, "forbidden_request"),
    (NotAllowedError, 403, "forbidden_request"),
)
"""Which error of ours is which of VISS. What is refused for want of a good token has a status of its own."""

UNKNOWN = 401, "invalid_token"


def failure(error: CarcloudError, status: int | None = None) -> dict[str, Any]:
    """Return an error as VISS writes it."""
    known = next(((number, reason) for family, number, reason in ERRORS if isinstance(error, family)), None)
    number, reason = known or (502, "bad_gateway")
    own = status or getattr(error, "status", None)
    if own == UNKNOWN[0]:
        number, reason = UNKNOWN
    elif own in (405, 408, 413):
        number, reason = 400, "bad_request"
    elif own == 429:
        number, reason = 429, "too_many_requests"
    return {"number": str(number), "reason": reason, "description": f"{error.message} {error.do}".strip()}


def moment() -> str:
    """Return this moment as VISS writes it."""
    return time_text(now())


@dataclass(frozen=True)
class Request:
    """A request over a transport that has no methods of its own. None: the request does not say it."""

    action: str
    path: str
    filter: Any
    value: Any
    authorization: str | None
    request: str | None
    subscription: str | None


def parse(text: str) -> Request:
    """Read a request.

    Raises:
        BadRequestError: it is none.
        MissingError: it asks for what is not offered.
    """
    said = _object(text)
    if said.get("action") not in ACTIONS:
        raise BadRequestError("Missing or invalid action.", f"Use one of: {', '.join(ACTIONS)}.")
    if said.get("dc") not in (None, ""):
        raise MissingError("Unsupported feature.", "Data compression is not offered: leave dc out.")
    path, wants = said.get("path", ""), said["action"] != "unsubscribe"
    if not isinstance(path, str) or (wants and not path):
        raise BadRequestError("Missing or invalid path.", "Give the path of a node, as Vehicle.Speed.")
    return Request(
        said["action"],
        path,
        said.get("filter"),
        said.get("value"),
        _text(said, "authorization", 4096),
        _text(said, "requestId", LIMIT_ID),
        _text(said, "subscriptionId", LIMIT_ID),
    )


def names_of(text: str) -> dict[str, str]:
    """Return of a request that cannot be read what an answer should name: its action and its id, where it has any."""
    try:
        said = _object(text)
    except BadRequestError:
        return {}
    found = {name: said.get(name) for name in ("action", "requestId")}
    return {name: value for name, value in found.items() if isinstance(value, str) and len(value) <= LIMIT_ID}


def _object(text: str) -> dict[str, Any]:
    try:
        said = orjson.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise BadRequestError("The request is malformed.", "Send a JSON object.")
    return said


def _text(said: Mapping[str, Any], name: str, limit: int) -> str | None:
    value = said.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > limit):
        raise BadRequestError(f"Invalid {name}.", f"It is a string of at most {limit} characters.")
    return value


def set_body(body: bytes) -> Any:
    """Return the value that the body of an update gives. Raise BadRequestError."""
    return _object(body.decode("utf-8", "replace")).get("value")


def read_value(signal: Signal, given: object) -> float | int | bool | str:
    """Return the value that a string gives for a signal.

    Raises:
        BadRequestError: it is no string.
        InputError: it is no value of the signal's type, or out of its range.
    """
    if not isinstance(given, str):
        raise BadRequestError(
            "Missing or invalid value.", 'Write it as a string, numbers and booleans too: "21", "true".'
        )
    value = _typed(signal, given)
    allowed = not signal.allowed or value in signal.allowed
    if not allowed or (not isinstance(value, str) and not signal.low <= value <= signal.high):
        raise InputError("Data value outside limit.", f"See /v1/catalogue for what {signal.path} may be.")
    return value


def _typed(signal: Signal, given: str) -> float | int | bool | str:
    if signal.type == "string":
        return given
    if signal.type == "boolean" and given in ("true", "false"):
        return given == "true"
    if "int" in signal.type and INTEGER.fullmatch(given):
        return int(given)
    if signal.type in ("float", "double") and NUMBER.fullmatch(given) and math.isfinite(float(given)):
        return float(given)
    raise InputError("Incorrect data type.", f"{signal.path} is of type {signal.type}.")


def written(value: object) -> str | list[Any]:
    """Return a value as VISS writes it."""
    if isinstance(value, list):
        return [written(one) for one in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def point(last: Last) -> dict[str, Any]:
    """Return a value with its time."""
    return {"value": written(last.value), "ts": time_text(from_us(last.time_us))}


def _points(told: Last | Sequence[Last] | None) -> dict[str, Any] | list[dict[str, Any]]:
    if told is None:
        return {"value": NOT_AVAILABLE, "ts": moment()}
    return point(told) if isinstance(told, Last) else [point(last) for last in told]


def data(values: Mapping[str, Last | Sequence[Last] | None]) -> dict[str, Any] | list[dict[str, Any]]:
    """Return values with their times by path, None where none is known; of one path as an object, of several as a list.

    What is not known gets the time of the answer.
    """
    found = [{"path": path, "dp": _points(one)} for path, one in values.items()]
    return found[0] if len(found) == 1 else found
