"""Every room's settings in one tree, and the only reader of files and environment.

Rules:
* A configuration file is TOML; its tables are named as the fields here. A key it does not know is an error.
* A default is good for a laptop; each field's unit and reason stand where its room declares it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shlex
import stat
import tomllib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from carcloud.backends.objects import ObjectSettings
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.gateway.gbt32960.settings import Gbt32960Settings
from carcloud.lake.settings import LakeSettings, QueryLimits
from carcloud.research.settings import ResearchSettings
from carcloud.safety.audit.settings import AuditSettings
from carcloud.safety.flows.flow import NOTHING, Flows
from carcloud.safety.flows.flow import parse as parse_flows
from carcloud.safety.governance.policy import Policy, pack, packs
from carcloud.safety.governance.policy import parse as parse_policy
from carcloud.safety.identity import LIMIT_DAYS, VEHICLE_DAYS
from carcloud.safety.people.policy import Policies
from carcloud.safety.people.settings import OidcSettings
from carcloud.safety.reports.settings import ControllerSettings
from carcloud.stream.settings import GovernorSettings
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.catalogue import Catalogue, parse

CORE = Path(__file__).parent / "vehicle" / "core.yaml"
OWN = Path(__file__).parent / "vehicle" / "own.yaml"
"""Signals that VSS does not have; every catalogue gets them."""

RECORDS = "records.sqlite"
LABORATORY = "laboratory"
"""The governance of a new zone whose settings name none."""

PRIVATE, OTHERS = 0o700, 0o077
TLS = ("1.2", "1.3")
DATUMS = ("wgs84", "gcj02")
T = TypeVar("T")


@dataclass(frozen=True)
class Listen:
    """Where the zone listens. A port of 0 is any free one. `host` is for cars; the API stays on `api_host`.

    `names`: host names and addresses in the server certificate, by which cars may call the zone. `claims`: the door
    at which cars without a certificate join. `kuksa`: the gRPC door to the twin, where its extra is installed; it is on
    `api_host`, as the API is. `tls`: the oldest TLS that cars may speak, "1.2" or "1.3".
    """

    api_host: str = "127.0.0.1"
    api: int = 8420
    host: str = "127.0.0.1"
    mqtt: int = 8883
    https: int = 8443
    claims: int = 8444
    nats: int = 14222
    kuksa: int = 55555
    tls: str = "1.3"
    names: tuple[str, ...] = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class OrderSettings:
    """Who signs orders. `signer_socket`: where another user's order signer listens; else the zone runs one itself."""

    signer_socket: str = ""


@dataclass(frozen=True)
class Settings:
    """One zone. `records`: an SQLAlchemy URL, by default SQLite in the data folder.

    `region`: the country or union under whose law the zone's data lie, such as "EU"; it stands on reports.
    `catalogue`: a VSS JSON or compact YAML file instead of the core profile; `overlays`: a maker's own signals on top.
    `governance`: what may be kept, and for what: a governance file, or the name of one that comes with carcloud; unset,
    the one in force stays.
    `flows`: the file that says what may leave for other zones; without one nothing does.
    `policies`: a folder of Cedar policies beside ours.
    `map_file`: GeoJSON drawn under the fleet, whose places are in `map_datum`; the console's map shows cars in it too.
    `gateways`: processes that answer connecting cars.
    `vehicle_days`: how long a car's certificate holds that it was given at a door.
    """

    zone: str = "local"
    region: str = ""
    tenant: str = "default"
    records: str = ""
    catalogue: str = ""
    overlays: tuple[str, ...] = ()
    governance: str = ""
    flows: str = ""
    map_file: str = ""
    map_datum: str = "wgs84"
    policies: str = ""
    gateways: int = 2
    vehicle_days: int = VEHICLE_DAYS
    listen: Listen = field(default_factory=Listen)
    governor: GovernorSettings = field(default_factory=GovernorSettings)
    lake: LakeSettings = field(default_factory=LakeSettings)
    query: QueryLimits = field(default_factory=QueryLimits)
    oidc: OidcSettings = field(default_factory=OidcSettings)
    orders: OrderSettings = field(default_factory=OrderSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    gbt32960: Gbt32960Settings = field(default_factory=Gbt32960Settings)
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    research: ResearchSettings = field(default_factory=ResearchSettings)


@dataclass(frozen=True)
class Folder:
    """The layout of a zone's data folder.

    Rules:
    * A folder is a zone's when it holds two or more of the things that outlive a run: a zone may lose one and go on.
    * A new zone begins in a folder that is absent or empty, never among other things. Queues of a car may lie there.
    * Only `make` makes a zone; whoever needs one asks for `existing`.
    """

    path: Path

    @property
    def keys(self) -> Path:
        """Keys and certificates; only the zone's user may read them."""
        return self.path / "keys"

    @property
    def orders(self) -> Path:
        """The order signer's own keys, people and ledger, where the zone runs it itself."""
        return self.keys / "orders"

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
    def audit(self) -> Path:
        """The audit log: its newest checkpoint, and tiles."""
        return self.path / "audit"

    @property
    def witness(self) -> Path:
        """Key and memory of the zone's own witness."""
        return self.path / "witness"

    @property
    def terminals(self) -> Path:
        """The numbers that the door for GB/T 32960 gives to what terminals report."""
        return self.path / "gbt32960" / "numbers.sqlite"

    @property
    def relay(self) -> Path:
        """What relays still have to tell platforms."""
        return self.path / "relay" / "spool.sqlite"

    @property
    def objects(self) -> Path:
        """Recordings as they came, where no other store for objects is set."""
        return self.path / "objects"

    @property
    def scratch(self) -> Path:
        """What lives only while a recording is imported: its files, laid out."""
        return self.path / "scratch"

    @property
    def zone_file(self) -> Path:
        """Ports and passwords of the running zone."""
        return self.run / "zone.json"

    @property
    def catalogue(self) -> Path:
        """The catalogue in force."""
        return self.path / "catalogue.json"

    @property
    def governance(self) -> Path:
        """The governance in force, and below `governance/` every one that ever was, named by its hash."""
        return self.path / "governance.yaml"

    @property
    def own_signals(self) -> Path:
        """Whose the signals are that not every tenant has; written when the zone starts."""
        return self.path / "own-signals.json"

    @property
    def tenant(self) -> Path:
        """For which tenant the zone is run, one word; written when it first starts."""
        return self.path / "tenant"

    @property
    def flows(self) -> Path:
        """The flows in force."""
        return self.path / "flows.yaml"

    def records(self, settings: Settings) -> str:
        """Return the URL of the records."""
        return settings.records or f"sqlite:///{(self.path / RECORDS).absolute()}"

    @property
    def credentials(self) -> Path:
        """Credentials of cars: of those the zone drives itself, and of those enrolled without a folder named."""
        return self.path / "credentials"

    @property
    def queues(self) -> Path:
        """What cars driven from here have not delivered yet."""
        return self.path / "queues"

    def existing(self) -> Folder:
        """Return the folder where it is a zone's.

        Raises:
            MissingError: it is none.
            InputError: it cannot be read.
        """
        try:
            found = self._is_zone()
        except OSError as error:
            raise self._unusable(error) from None
        if not found:
            do = f"Give its folder with --data, or start one: carcloud up --data {shlex.quote(str(self.path))}"
            raise MissingError(f"There is no zone in {self.path}.", do)
        return self

    def make(self) -> str:
        """Make the zone's folders that are missing, closed to others; return a sentence on what was done, or nothing.

        Raises:
            ConflictError: the folder holds other things and is no zone; nothing was changed.
            InputError: the folder cannot be read or written.
        """
        try:
            return self._make()
        except OSError as error:
            raise self._unusable(error) from None

    def _make(self) -> str:
        absent, known = not self.path.exists(), self._is_zone()
        others = [] if absent or known else sorted(entry.name for entry in self.path.iterdir() if entry != self.queues)
        if others:
            do = "Give a new or empty folder, or a zone's, with --data."
            raise ConflictError(f"{self.path} is no zone, and not empty: {others[0]} lies there.", do)
        self.path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        closed = _close(self.path)
        for part in (self.keys, self.stream, self.twin, self.lake, self.audit, self.witness, self.run, self.logs):
            part.mkdir(mode=PRIVATE, exist_ok=True)
            _close(part)
        return self._said(absent, known, closed)

    def _said(self, absent: bool, known: bool, closed: bool) -> str:
        if known:
            return f"{self.path} was open to others and is closed to them now." if closed else ""
        if absent:
            return f"A new zone begins in {self.path}, made for its owner only."
        said, mode = f"A new zone begins in the empty folder {self.path}", stat.S_IMODE(self.path.stat().st_mode)
        if closed:
            return f"{said}, closed to others now."
        if mode & OTHERS:
            return f"{said}. It belongs to another user and its mode stays {mode:03o}: see that others cannot look in."
        return f"{said}."

    def _unusable(self, error: OSError) -> InputError:
        return InputError(f"The data folder {self.path} cannot be used: {error.strerror}.", "Give another.")

    def _is_zone(self) -> bool:
        lasting = (self.keys, self.path / RECORDS, self.stream, self.twin, self.lake, self.catalogue)
        return sum(place.exists() for place in lasting) >= 2


def _close(folder: Path) -> bool:
    """Keep others out of a folder that is ours; tell whether they could come in before."""
    status = folder.stat()
    open_ = status.st_uid == os.geteuid() and bool(status.st_mode & OTHERS)
    if open_:
        folder.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
    return open_


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
    settings.oidc.check()
    if settings.map_datum not in DATUMS:
        raise InputError(f"{file}: map_datum is {settings.map_datum!r}.", f"Use one of {', '.join(DATUMS)}.")
    if settings.listen.tls not in TLS:
        raise InputError(f"{file}: listen.tls is {settings.listen.tls!r}.", f"Use one of {', '.join(TLS)}.")
    if not 1 <= settings.vehicle_days <= LIMIT_DAYS:
        raise InputError(f"{file}: vehicle_days is {settings.vehicle_days}.", f"Use 1 to {LIMIT_DAYS}.")
    return settings


def settings_of(config: Path | None, folder: Folder) -> Settings:
    """Return a zone's settings by its configuration; where none is given, the defaults for the zone's own tenant.

    Raises:
        InputError, MissingError: as `load`. ConflictError: as `check_tenant`.
    """
    settings = load(config)
    known = _known_tenant(folder)
    if config is None and known is not None:
        settings = dataclasses.replace(settings, tenant=known)
    check_tenant(settings, folder)
    return settings


def check_tenant(settings: Settings, folder: Folder) -> None:
    """Raise ConflictError where the zone is run for another tenant than the settings say."""
    known = _known_tenant(folder)
    if known not in (None, settings.tenant):
        do = "Give its own configuration with --config, or another zone's folder with --data."
        raise ConflictError(f"The zone in {folder.path} is run for the tenant {known}, not {settings.tenant}.", do)


def _known_tenant(folder: Folder) -> str | None:
    try:
        known = folder.tenant.read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError):
        known = ""
    if not TOKEN.fullmatch(known):
        raise InputError(f"{folder.tenant} names no tenant.", "Write the name of the zone's tenant into it.")
    return known


def load_catalogue(settings: Settings, previous: Path, overlays: Iterable[Catalogue] = ()) -> Catalogue:
    """Return the catalogue the settings ask for and tenants added to, as the successor of the one in force.

    Raises:
        InputError: a file is no catalogue. ConflictError: it changes the meaning of a known path.
    """
    catalogue = home_catalogue(settings)
    for overlay in overlays:
        catalogue = catalogue.overlaid(overlay)
    return catalogue.succeed(read_catalogue(previous)) if previous.exists() else catalogue


def home_catalogue(settings: Settings) -> Catalogue:
    """Return the signals that every tenant has, our own among them; raise as `load_catalogue`."""
    catalogue = read_catalogue(Path(settings.catalogue or CORE))
    if not catalogue:
        raise InputError(f"{settings.catalogue}: No signals.", "A zone needs at least one.")
    for overlay in (OWN, *map(Path, settings.overlays)):
        catalogue = catalogue.overlaid(read_catalogue(overlay))
    return catalogue


def catalogue_in_force(settings: Settings, folder: Folder) -> Catalogue:
    """Return the catalogue the zone took when it last started; before its first start, what the settings ask for."""
    return read_catalogue(folder.catalogue) if folder.catalogue.exists() else load_catalogue(settings, folder.catalogue)


def own_signals_in_force(folder: Folder) -> dict[str, frozenset[str]]:
    """Return whose the signals are that not every tenant has, since the zone's last start: path → tenants."""
    if not folder.own_signals.exists():
        return {}
    whose: dict[str, list[str]] = json.loads(folder.own_signals.read_bytes())
    return {path: frozenset(tenants) for path, tenants in whose.items()}


def load_policies(settings: Settings) -> Policies:
    """Return the policies in force: ours, and those of the zone's own folder.

    Raises:
        InputError: one of them does not hold to the schema. MissingError: there is no such folder.
    """
    return Policies.load(Path(settings.policies) if settings.policies else None)


def load_governance(settings: Settings) -> Policy:
    """Return the governance the settings ask for; where they name none, the one of a new zone.

    Raises:
        MissingError: there is no such file, and none of this name comes with carcloud.
        InputError: the file is no governance file.
    """
    if (named := pack(settings.governance or LABORATORY)) is not None:
        return named
    path = Path(settings.governance)
    try:
        return parse_policy(path.read_bytes(), path.name)
    except FileNotFoundError:
        do = f"Give a file's path, or one of {', '.join(packs())}."
        raise MissingError(f"There is no governance file {path}.", do) from None
    except OSError as error:
        raise InputError(f"The governance file {path} cannot be read: {error.strerror}.", "Check the path.") from None


def governance_in_force(settings: Settings, folder: Folder) -> Policy:
    """Return the governance the zone took when it last started; before its first start, what the settings ask for."""
    if not folder.governance.exists():
        return load_governance(settings)
    return parse_policy(folder.governance.read_bytes(), folder.governance.name)


def load_flows(settings: Settings) -> Flows:
    """Return the flows the settings ask for. Raise MissingError where there is no file, InputError where it is none."""
    if not settings.flows:
        return NOTHING
    path = Path(settings.flows)
    try:
        return parse_flows(path.read_bytes(), path.name)
    except FileNotFoundError:
        raise MissingError(f"There is no flows file {path}.", "Check the path, or leave `flows` out.") from None
    except OSError as error:
        raise InputError(f"The flows file {path} cannot be read: {error.strerror}.", "Check the path.") from None


def flows_in_force(folder: Folder) -> Flows:
    """Return the flows the zone took when it last started; none before its first start."""
    return parse_flows(folder.flows.read_bytes(), folder.flows.name) if folder.flows.exists() else NOTHING


def read_catalogue(path: Path) -> Catalogue:
    """Read one catalogue or overlay. Raise MissingError where there is no file, InputError where it is none."""
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
    values = {name: _value(hints[name], value, f"{where}: {name}") for name, value in content.items()}
    try:
        return kind(**values)
    except InputError as error:  # by what values mean together
        raise InputError(f"{where}: {error.message}", error.do) from None


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
        value = float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise InputError(f"{where} is a {hint.__name__}, not {value!r}.", "Mend the file.")
    if hint in (int, float) and not 0 <= value < math.inf:
        raise InputError(f"{where} is {value}.", "Give a number of 0 or more.")
    return value
