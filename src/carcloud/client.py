"""The door for Python programs: `carcloud.connect(url, token)` opens a zone.

- SQL answers are Arrow tables; times are aware UTC datetimes; every value carries unit, time, age and provenance.
- What goes wrong is raised as one of `carcloud.errors`, saying what to do.
"""

import json
import random
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

import httpx
import pyarrow as pa

from carcloud.errors import FAMILIES, CarcloudError, InputError, TryLaterError

ARROW = "application/vnd.apache.arrow.stream"
TIMEOUT_S = 60.0
SILENCE_S = 25.0
"""A live stream that is silent for longer is dead: the zone sends a heartbeat every 10 s."""

RETRY_S = (0.5, 10.0)
PAGE = 1000

Provenance = Literal["measured", "replay", "simulated"]


class TruncatedWarning(UserWarning):
    """There were more rows than asked for."""


@dataclass(frozen=True)
class Value:
    """The newest value of a signal. `age_s`: seconds from `time` to when the zone answered."""

    value: float | int | bool | str | list[Any]
    unit: str | None
    time: datetime
    age_s: float
    provenance: Provenance


@dataclass(frozen=True)
class Signal:
    """What a signal means: VSS path, type, unit and bounds."""

    path: str
    type: str
    unit: str | None
    min: float | None
    max: float | None
    kind: str
    description: str
    retired: bool


@dataclass(frozen=True)
class Change:
    """New values of one car."""

    vehicle: str
    signals: dict[str, Value]


@dataclass(frozen=True)
class Vehicle:
    """A car of the zone. `last_seen` is None until it reports; `signal_count` is how many signals it has reported."""

    id: str
    vin: str
    label: str | None
    state: str
    enrolled_at: datetime
    last_seen: datetime | None
    signal_count: int
    _zone: "Zone" = field(repr=False, compare=False)

    def signals(self, *paths: str) -> dict[str, Value]:
        """Return the newest values by path: of these paths (`Vehicle.Cabin.*` means all below), or of all."""
        answer = self._zone._get(f"/v1/vehicles/{self.id}/signals", {"paths": ",".join(paths)})
        return {path: _value(found) for path, found in answer["signals"].items()}


class Zone:
    """An open zone. Use it as a context manager, or call `close()`. For one thread at a time."""

    def __init__(self, url: str, token: str, timeout_s: float = TIMEOUT_S) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s, trust_env=False)
        self._units: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        """Return the zone itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the zone."""
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def sql(self, text: str, /, *, limit: int = 1_000_000, **parameters: object) -> pa.Table:
        """Return the rows of one read-only statement over `samples`, `signals` and `vehicles`.

        Args:
            text: SQL as DuckDB speaks it; `$name` stands for a parameter. Values are in the units of `signals`.
            limit: rows at most; a `TruncatedWarning` says when there were more.
            parameters: numbers, texts, booleans, or aware datetimes (cast them: `$since::TIMESTAMPTZ`).

        Raises:
            InputError: the SQL is wrong, or too much for the zone's limits.
            NotAllowedError: the statement does more than read the lake.
            TryLaterError: the zone is busy or away.
        """
        given = {name: _parameter(name, value) for name, value in parameters.items()}
        body = {"sql": text, "parameters": given, "limit": limit}
        answer = self._ask("POST", "/v1/lake/sql", json=body, headers={"accept": ARROW})
        table = pa.ipc.open_stream(answer.content).read_all()
        if answer.headers.get("x-carcloud-truncated") == "true":
            message = f"There are more than {limit} rows; only these are here. Raise `limit`, or aggregate."
            warnings.warn(message, TruncatedWarning, stacklevel=2)
        return table

    def status(self) -> dict[str, Any]:
        """Return the zone's counters, delays (seconds) and alarms as of the last second."""
        return dict(self._get("/v1/status"))

    def catalogue(self) -> dict[str, Signal]:
        """Return every signal that cars may send, by path."""
        return {row["path"]: Signal(**row) for row in self._get("/v1/catalogue")["signals"]}

    def vehicles(self, state: str | None = None) -> list[Vehicle]:
        """Return all cars (of a state, such as `active` or `quarantined`) in the order of their ids."""
        cars: list[Vehicle] = []
        query: dict[str, Any] = {"limit": PAGE} | ({"state": state} if state else {})
        while True:
            page = self._get("/v1/vehicles", query)
            cars += [self._vehicle(row) for row in page["vehicles"]]
            if page["next"] is None:
                return cars
            query["after"] = page["next"]

    def vehicle(self, id: str) -> Vehicle:  # noqa: A002
        """Return one car; raise MissingError."""
        return self._vehicle(self._get(f"/v1/vehicles/{id}"))

    def signals(self, *paths: str, limit: int = PAGE) -> dict[str, dict[str, Value]]:
        """Return the newest values of these paths for at most `limit` cars, by vehicle id and path."""
        answer = self._get("/v1/signals", {"paths": ",".join(paths), "limit": limit})
        at, names = _time(answer["at"]), answer["paths"]
        return {car["id"]: dict(self._row(at, names, car)) for car in answer["vehicles"]}

    def live(self, vehicles: Iterable[str] | None = None, paths: Iterable[str] = ()) -> Iterator[Change]:
        """Yield changes as they happen, of these cars (None: all) and paths (none: all), at most 4 a second a car.

        After a cut it connects again by itself; what changed in between shows with the car's next change.
        """
        query = {"vehicles": "*" if vehicles is None else ",".join(vehicles), "paths": ",".join(paths)}
        pause_s = RETRY_S[0]
        while True:
            try:
                for change in self._stream(query):
                    pause_s = RETRY_S[0]
                    yield change
            except TryLaterError:
                time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 spreads reconnects
                pause_s = min(pause_s * 2, RETRY_S[1])

    def _stream(self, query: Mapping[str, str]) -> Iterator[Change]:
        patience = httpx.Timeout(TIMEOUT_S, read=SILENCE_S)
        try:
            with self._http.stream("GET", "/v1/events", params=query, timeout=patience) as answer:
                if answer.is_error:
                    answer.read()
                    raise _error(answer)
                yield from _changes(answer.iter_lines())
        except httpx.TransportError as error:
            raise _away(self._http.base_url, error) from error

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._ask("GET", path, params=query).json()

    def _ask(self, method: str, path: str, **parts: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **parts)
        except httpx.TransportError as error:
            raise _away(self._http.base_url, error) from error
        if not answer.is_success:
            raise _error(answer)
        return answer

    def _vehicle(self, row: Mapping[str, Any]) -> Vehicle:
        seen = row["last_seen"]
        return Vehicle(
            id=row["id"],
            vin=row["vin"],
            label=row["label"],
            state=row["state"],
            enrolled_at=_time(row["enrolled_at"]),
            last_seen=None if seen is None else _time(seen),
            signal_count=row["signals"],
            _zone=self,
        )

    def _row(self, at: datetime, paths: list[str], car: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
        for path, value, written, provenance in zip(paths, car["values"], car["times"], car["provenance"], strict=True):
            if written is not None:
                moment = _time(written)
                yield path, Value(value, self._unit(path), moment, (at - moment).total_seconds(), provenance)

    def _unit(self, path: str) -> str | None:
        if path not in self._units:
            self._units = {path: signal.unit for path, signal in self.catalogue().items()}
        return self._units.get(path)


def connect(url: str, token: str, timeout_s: float = TIMEOUT_S) -> Zone:
    """Open the zone at this address, and check that it answers and knows the token.

    Args:
        url: the address that `carcloud up` printed, without the token.
        token: the zone's API token.
        timeout_s: seconds to wait for an answer; the zone itself stops SQL after 30 s.

    Raises:
        NotAllowedError: the token is wrong.
        TryLaterError: nothing answers there.
    """
    zone = Zone(url, token, timeout_s)
    try:
        zone._get("/v1/vehicles", {"limit": 1})
    except CarcloudError:
        zone.close()
        raise
    return zone


def _changes(lines: Iterable[str]) -> Iterator[Change]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            body = json.loads(line.removeprefix("data: "))
            if name == "error":
                raise TryLaterError(body["error"]["message"], body["error"]["do"])
            now = datetime.now(UTC)
            yield Change(body["vehicle"], {path: _value(found, now) for path, found in body["signals"].items()})
    raise TryLaterError("The zone ended the stream.", "Open it again.")


def _value(found: Mapping[str, Any], now: datetime | None = None) -> Value:
    moment = _time(found["time"])
    age_s = found["age_s"] if now is None else (now - moment).total_seconds()
    return Value(found["value"], found["unit"], moment, age_s, found["provenance"])


def _time(written: str) -> datetime:
    return datetime.fromisoformat(written)


def _parameter(name: str, value: object) -> object:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InputError(f"Parameter {name} is a time without a zone.", "Give an aware datetime, like one in UTC.")
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(f"Parameter {name} is a {type(value).__name__}.", "Give a number, text, boolean or datetime.")


def _error(answer: httpx.Response) -> CarcloudError:
    try:
        said = answer.json()["error"]
        return FAMILIES.get(said["code"], CarcloudError)(said["message"], said["do"])
    except (ValueError, KeyError, TypeError):
        return CarcloudError(
            f"{answer.url.host} answered {answer.status_code} and nothing the client understands.",
            "Check that the address is a carcloud zone's.",
        )


def _away(url: httpx.URL, error: Exception) -> TryLaterError:
    return TryLaterError(
        f"The zone at {url} does not answer ({type(error).__name__}).",
        "Check the address, and that `carcloud up` runs.",
    )
