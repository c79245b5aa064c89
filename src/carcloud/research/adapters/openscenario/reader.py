"""OpenSCENARIO XML, read by playing it.

Rules:
* One file is one scenario; of a folder every scenario in it is read, and catalogs are passed over.
* Whatever of a scenario is not played is told in its tags, or the scenario is refused.

Source: ASAM OpenSCENARIO XML 1.0, 1.1, 1.2, 1.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.adapter import LIMIT_SCENARIOS, Options, Progress, Refused
from carcloud.research.adapters.openscenario.files import read_xml, road_file
from carcloud.research.adapters.openscenario.ground import Ground
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.parameters import numbers, overridden, texts
from carcloud.research.adapters.openscenario.play import Play
from carcloud.research.scenario import Scenario

FORMAT = "openscenario"
ABOUT = "OpenSCENARIO XML 1.0 to 1.3 (.xosc), played on its OpenDRIVE roads"

LOOKED_AT_BYTES = 4096


def recognises(path: Path) -> bool:
    """Tell by name and first bytes whether this is a scenario, or a folder of them."""
    try:
        if path.is_dir():
            return any(True for _ in path.glob("*.xosc"))
        with path.open("rb") as file:
            return path.suffix.lower() in (".xosc", ".xml") and b"<OpenSCENARIO" in file.read(LOOKED_AT_BYTES)
    except OSError:
        return False


def read(path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
    """Yield the scenario of a file, or all of a folder.

    Raises:
        InputError: the file cannot be read, or the folder has no scenario.
    """
    if not path.is_dir():
        yield instantiate(path, options.parameters, options.road)
        progress(1.0)
        return
    files = [one for one in sorted(path.glob("*.xosc")) if not one.is_symlink()]
    if not files or len(files) > LIMIT_SCENARIOS:
        raise InputError(f"{path.name} has {len(files)} scenarios.", f"Name a folder with 1 to {LIMIT_SCENARIOS}.")
    for at, file in enumerate(files):
        try:
            if read_xml(file).find("Catalog") is None:
                yield instantiate(file, options.parameters, options.road)
        except CarcloudError as error:
            yield Refused(file.stem, error)
        progress((at + 1) / len(files))


def instantiate(path: Path, parameters: Mapping[str, str], road: Path | None = None) -> Scenario:
    """Return a scenario with these values for its parameters.

    Args:
        parameters: values by name, in place of those that the file declares.
        road: an OpenDRIVE file in place of the one that the file names.

    Raises:
        InputError: it is no such file, a parameter is unknown or out of bounds, or it cannot be played.
    """
    element = read_xml(path)
    _check(element, path)
    values = overridden(Node(element, {}), {name: str(value) for name, value in parameters.items()})
    root = Node(element, values)
    play = Play(root, path.parent, _ground(root, path.parent, road))
    motion = play.run()
    told = [f"{name}={said}" for name, said in texts(root, values).items()]
    return Scenario(
        name=path.stem,
        motion=motion,
        ego=play.ego(motion),
        map=play.stage.ground.map,
        tags=(*told, *play.stage.notes),
        parameters=numbers(root, values),
        simulated=True,
    )


def _check(element: Any, path: Path) -> None:
    if element.tag != "OpenSCENARIO" or element.find("Storyboard") is None:
        what = "a catalog or a distribution of parameters" if element.tag == "OpenSCENARIO" else f"<{element.tag}>"
        raise InputError(f"{path.name} holds no scenario but {what}.", "Name a file with a Storyboard.")
    header = Node(element, {}).child("FileHeader")
    major, minor = header.integer("revMajor"), header.integer("revMinor")
    if major != 1 or not 0 <= minor <= 3:
        raise InputError(f"{path.name} is of OpenSCENARIO {major}.{minor}.", "Versions 1.0 to 1.3 are read.")


def _ground(root: Node, folder: Path, road: Path | None) -> Ground:
    file = root.find("RoadNetwork", "LogicFile")
    if road is None:
        if file is None or not file.text("filepath"):
            return Ground(None)
        road = road_file(folder, file.text("filepath"))
    state = road.stat()
    return _read_ground(road, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _read_ground(road: Path, changed: int, size: int) -> Ground:
    return Ground(xml.text_of(road))
