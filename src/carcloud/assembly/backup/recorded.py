"""What recordings brought, as a backup takes it: the tables' files and the objects, shared by the backups of a month.

Rules:
* The tables are fixed together, while nobody changes them: a restored zone has all of a recording or nothing.
* They are fixed after the records: a recording whose import was done in between is found in the tables and finished.
* Parts of a recording that is still being sent are left out: who sends it is told that they are missing.
* A name is that of the file below the zone's folder.
"""

from __future__ import annotations

from collections.abc import Iterator

from carcloud.assembly.backup.reading import files_below
from carcloud.backends.delta_cut import cut
from carcloud.backends.objects_files import PARTS
from carcloud.lake.recorded import FOLDER, alone
from carcloud.safety.backup.parcel import Packing
from carcloud.settings import Folder

BELOW = (f"lake/{FOLDER}/", "objects/")
"""What the names of such files begin with; those of the lake's samples never do."""


def shared(folder: Folder) -> list[str]:
    """Return the names of the files that are there now."""
    return [name for table in _tables(folder) for name in _files(folder, table)] + objects(folder)


def fixed(folder: Folder, packing: Packing) -> list[str]:
    """Put the logs of the tables in, as they stand together; return the names of the files that they say are theirs."""
    if not (folder.lake / FOLDER).is_dir():
        return []
    names = []
    with alone(folder.lake):
        for table in _tables(folder):
            names += _files(folder, table)
            for log in cut(folder.path / table, "").log:
                packing.put_file(f"{table}/{log}", folder.path / table / log)
    return names


def objects(folder: Folder) -> list[str]:
    """Return the names of the objects that are whole."""
    found = (file.relative_to(folder.path) for file in files_below(folder.objects))
    return [str(name) for name in found if not any(part.endswith(PARTS) for part in name.parts)]


def _tables(folder: Folder) -> Iterator[str]:
    for path in sorted((folder.lake / FOLDER).glob("*/_delta_log")):
        yield str(path.parent.relative_to(folder.path))


def _files(folder: Folder, table: str) -> list[str]:
    return [f"{table}/{name}" for name in cut(folder.path / table, "").files]
