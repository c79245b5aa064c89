"""Exports put into a folder: each file known to erasures from before its first byte.

Rules:
* A file is written under another name first, and takes its place when it is whole.
* What a file's scenarios come from is asked of their recordings, and stands in the file.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from carcloud.backends.files import flush
from carcloud.backends.records import Records
from carcloud.backends.records.export_files import ExportFile
from carcloud.errors import InputError, TryLaterError
from carcloud.lake.exports import erase_meanwhile, sha256_of
from carcloud.research.exports import openscenario, osi_mcap, training
from carcloud.research.exports.about import About, Abouts
from carcloud.research.reading import ScenarioRow
from carcloud.research.scenario import Scenario
from carcloud.research.store import Store
from carcloud.safety.keys import PRIVATE_FILE

Write = Callable[[Sequence[Scenario], Path, Abouts], list[Path]]


@dataclass(frozen=True)
class Format:
    """How scenarios are exported.

    Args:
        about: one line.
        register: what the register of exported files calls it.
        suffixes: of the files of each scenario; empty where all scenarios go into `names`.
        names: of the files of all scenarios together.
    """

    about: str
    write: Write
    register: str
    suffixes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


FORMATS: Mapping[str, Format] = {
    openscenario.FORMAT: Format(openscenario.ABOUT, openscenario.write, "openscenario", (".xodr", ".xosc")),
    osi_mcap.FORMAT: Format(osi_mcap.ABOUT, osi_mcap.write, "osi_mcap", (".mcap",)),
    training.FORMAT: Format(
        training.ABOUT, training.write, "parquet", names=tuple(f"{part}.parquet" for part in training.PARTS)
    ),
}


def export(
    records: Records, store: Store, tenant: str, ids: Sequence[str], name: str, folder: Path, actor: str
) -> Iterator[Path]:
    """Write scenarios into a folder, and yield each file when it is there.

    Raises:
        InputError: there is no such format, or a scenario cannot be written in it.
        MissingError: there is no such scenario.
        TryLaterError: a car was erased meanwhile.
    """
    if name not in FORMATS:
        raise InputError(f"There is no format {name!r}.", f"Use one of {', '.join(FORMATS)}.")
    way = FORMATS[name]
    about = _abouts(records, tenant, store.scenarios(ids))
    folder.mkdir(parents=True, exist_ok=True)
    if way.names:
        yield from _written(records, (tenant, actor), way, list(store.loaded(ids)), folder, about)
        return
    for scenario in store.loaded(ids):
        yield from _written(records, (tenant, actor), way, [scenario], folder, about)


def _abouts(records: Records, tenant: str, rows: Sequence[ScenarioRow]) -> dict[str, About]:
    found: dict[str, About] = {}
    for id_ in {row.recording for row in rows}:
        one = records.recordings.get(tenant, id_)
        found[id_] = About(
            recording=one.id,
            vehicle=one.vehicle,
            licence=one.licence,
            consent=one.consent,
            purpose=one.purpose,
            basis=one.basis,
            place=one.place,
            software=one.software_version,
        )
    return {row.id: found[row.recording] for row in rows}


def _written(
    records: Records, whose: tuple[str, str], way: Format, scenarios: list[Scenario], folder: Path, about: Abouts
) -> Iterator[Path]:
    names = way.names or [f"{one.id}{suffix}" for one in scenarios for suffix in way.suffixes]
    began, drafts = datetime.now(UTC), folder.absolute() / f".{secrets.token_hex(8)}.part"
    drafts.mkdir(mode=0o700)
    known = [
        records.export_files.add(ExportFile(began, *whose, str(drafts / name), way.register, "", 0)) for name in names
    ]
    try:
        made = {path.name for path in way.write(scenarios, drafts, about)}
        for file, name in zip(known, names, strict=True):
            if name in made:
                yield _settled(records, file, drafts / name, folder.absolute() / name, len(scenarios), began)
    finally:
        for file, name in zip(known, names, strict=True):
            records.export_files.forget(file.id, str(drafts / name))
        shutil.rmtree(drafts, ignore_errors=True)


def _settled(records: Records, file: ExportFile, draft: Path, path: Path, rows: int, began: datetime) -> Path:
    """Put a whole file into its place, for its owner's eyes alone."""
    sha256 = sha256_of(draft) if draft.is_file() else ""
    if not sha256 or not records.export_files.finish(file.id, str(path), sha256, rows):
        raise TryLaterError(f"{path.name} was deleted: a car was erased meanwhile.", "Export it again.")
    draft.chmod(PRIVATE_FILE)
    draft.replace(path)
    flush(path.parent)
    records.export_files.settle(file.id)
    erase_meanwhile(records, began, str(path))
    return path
