"""Every room's settings in one tree, and the only reader of files and environment.

Rules:
* A configuration file is TOML; its tables are named as the fields here. A key it does not know is an error.
* A default is good for a laptop; each field's unit and reason stand where its room declares it.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from carcloud.errors import InputError, MissingError
from carcloud.lake.settings import LakeSettings, QueryLimits
from carcloud.stream.settings import GovernorSettings
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.catalogue import Catalogue, parse

CORE = Path(__file__).parent / "vehicle" / "core.yaml"
T = TypeVar("T")


@dataclass(frozen=True)
class Listen:
    """Where the zone listens. A port of 0 is any free one. `host` is for cars; the API stays on `api_host`.

    `names`: host names and addresses in the server certificate, by which cars may call the zone.
    """

    api_host: str = "127.0.0.1"
    api: int = 8420
    host: str = "127.0.0.1"
    mqtt: int = 8883
    https: int = 8443
    nats: int = 14222
    names: tuple[str, ...] = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Settings:
    """One zone. `records`: an SQLAlchemy URL, by default SQLite in the data folder.

    `catalogue`: a VSS JSON or compact YAML file instead of the core profile; `overlays`: a maker's own signals on top.
    `map_file`: GeoJSON drawn under the fleet. `gateways`: processes that answer connecting cars.
    """

    zone: str = "local"
    tenant: str = "default"
    records: str = ""
    catalogue: str = ""
    overlays: tuple[str, ...] = ()
    map_file: str = ""
    gateways: int = 2
    listen: Listen = field(default_factory=Listen)
    governor: GovernorSettings = field(default_factory=GovernorSettings)
    lake: LakeSettings = field(default_factory=LakeSettings)
    query: QueryLimits = field(default_factory=QueryLimits)


@dataclass(frozen=True)
class Folder:
    """The layout of a zone's data folder."""

    path: Path

    @property
    def keys(self) -> Path:
        """Keys and certificates; only the zone's user may read them."""
        return self.path / "keys"

    @property
    def run(self) -> Path:
        """What lives only while the zone runs: ports, lock, sockets, the broker's configuration."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """One log a process, JSON lines."""
        return self.path / "logs"

    @property
    def stream(self) -> Path:
        """The broker's store and the marks."""
        return self.path / "stream"

    @property
    def twin(self) -> Path:
        """The twin's saved state."""
        return self.path / "twin"

    @property
    def lake(self) -> Path:
        """The Delta table `samples` and its receipts."""
        return self.path / "lake"

    @property
    def zone_file(self) -> Path:
        """Ports and passwords of the running zone."""
        return self.run / "zone.json"

    @property
    def catalogue(self) -> Path:
        """The catalogue in force."""
        return self.path / "catalogue.json"

    def records(self, settings: Settings) -> str:
        """Return the URL of the records."""
        return settings.records or f"sqlite:///{(self.path / 'records.sqlite').absolute()}"

    def make(self) -> None:
        """Create the folders that are missing."""
        try:
            for folder in (self.path, self.keys, self.run, self.logs, self.stream, self.twin, self.lake):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise InputError(
                f"The data folder {self.path} cannot be used: {error.strerror}.", "Give another."
            ) from None


def load(file: Path | None) -> Settings:
    """Read a configuration file, or return the defaults. Raise InputError naming file and key."""
    if file is None:
        return Settings()
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise MissingError(f"There is no configuration file {file}.", "Check the path.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{file} is no TOML: {error}.", "Mend the file.") from None
    settings = _build(Settings, content, str(file))
    for name in ("zone", "tenant"):
        if not TOKEN.fullmatch(getattr(settings, name)):
            raise InputError(f"{file}: {name} is no name.", "Use 1 to 64 letters, digits, _ and -.")
    return settings


def load_catalogue(settings: Settings, previous: Path) -> Catalogue:
    """Return the catalogue the settings ask for, as the successor of the one in force.

    Raises:
        InputError: a file is no catalogue. ConflictError: it changes the meaning of a known path.
    """
    catalogue = _catalogue_file(Path(settings.catalogue or CORE))
    for overlay in settings.overlays:
        catalogue = catalogue.overlaid(_catalogue_file(Path(overlay)))
    if not catalogue:
        raise InputError(f"{settings.catalogue}: No signals.", "A zone needs at least one.")
    return catalogue.succeed(_catalogue_file(previous)) if previous.exists() else catalogue


def _catalogue_file(path: Path) -> Catalogue:
    try:
        return parse(path.read_bytes(), path.name)
    except FileNotFoundError:
        raise MissingError(f"There is no catalogue {path}.", "Check the path.") from None
    except OSError as error:
        raise InputError(f"The catalogue {path} cannot be read: {error.strerror}.", "Check the path.") from None


def _build(kind: type[T], content: dict[str, Any], where: str) -> T:
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(content.keys() - fields.keys())
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}.", f"Known keys: {', '.join(sorted(fields))}.")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in content.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise InputError(f"{where} is a table.", f"Write it as [{where.rsplit(' ', 1)[-1]}].")
        return _build(hint, value, where)
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InputError(f"{where} is a list of texts.", 'Write it as ["a", "b"].')
        return tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise InputError(f"{where} is a {hint.__name__}, not {value!r}.", "Mend the file.")
    if hint in (int, float) and not 0 <= value < math.inf:
        raise InputError(f"{where} is {value}.", "Give a number of 0 or more.")
    return value
