"""What an adapter is: a folder with the file `reader.py`, which has the names of `Reader` below.

Rules:
* An adapter yields scenarios one by one, and never needs a whole file in memory where the file may be large.
* A scenario that cannot be read is yielded as `Refused`, and the others go on. A file of which nothing can be read is
  an InputError that says what to do.
* Nothing that could run is ever opened: no pickle, no script, no library.
* A file is read as it lies, with links and outer entities unresolved; what it refers to is looked for beside it only.
* Adapters of others are found by the entry point group `carcloud.adapters`: its name is the format's, its value the
  module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol, cast

from carcloud.errors import CarcloudError, InputError
from carcloud.research import adapters
from carcloud.research.scenario import Scenario

LIMIT_SCENARIOS = 100_000
"""Scenarios in one recording."""
LIMIT_USERS = 10_000
"""Road users in one scenario."""
LIMIT_STEPS = 100_000
"""Steps of one scenario."""
LIMIT_PLACES = 20_000_000
"""Road users times steps of one scenario."""
LIMIT_XML_BYTES = 256 << 20
"""A document of XML, which is read whole."""


@dataclass(frozen=True)
class Options:
    """What an import is told besides its file.

    Args:
        mapping: a mapping file, for tables and drives of one car.
        road: a map beside the recording, OpenDRIVE.
        parameters: values for the parameters that the file declares, by name.
    """

    mapping: Path | None = None
    road: Path | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A scenario that could not be read, and why."""

    name: str
    error: CarcloudError


Progress = Callable[[float], None]
"""Is told the share that is read so far, 0 to 1."""


class Reader(Protocol):
    """What `reader.py` of an adapter has."""

    FORMAT: str
    """The format's name, as `--format` takes it."""
    ABOUT: str
    """One line on what it reads."""

    def recognises(self, path: Path) -> bool:
        """Tell by name and first bytes whether this is such a file (or folder); never raises."""

    def read(self, path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
        """Yield the scenarios of a file or folder.

        Raises:
            InputError: nothing of it can be read.
        """


def readers() -> dict[str, Reader]:
    """Return all adapters by the names of their formats: ours, and those that other packages bring."""
    names = sorted(one.name for one in iter_modules(adapters.__path__) if one.ispkg)
    ours = [cast(Reader, import_module(f"{adapters.__name__}.{name}.reader")) for name in names]
    theirs = [cast(Reader, point.load()) for point in entry_points(group=adapters.__name__.replace(".research", ""))]
    return {one.FORMAT: one for one in (*theirs, *ours)}


def reader_for(path: Path, name: str | None = None) -> Reader:
    """Return the adapter for a file: the named one, or the one that recognises it.

    Raises:
        InputError: there is none of that name, or none that knows the file, or several that do.
    """
    known = readers()
    if name is not None:
        if name not in known:
            raise InputError(f"There is no format {name!r}.", f"Use one of {', '.join(known)}.")
        return known[name]
    found = [one for one in known.values() if one.recognises(path)]
    if len(found) != 1:
        said = " and ".join(one.FORMAT for one in found) or "none that is known"
        raise InputError(f"{path.name} is of which format? It looks like {said}.", f"Say --format: {', '.join(known)}.")
    return found[0]
