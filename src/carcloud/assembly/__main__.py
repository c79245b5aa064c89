"""Runs one process of a zone: `python -m carcloud.assembly NAME DATA [CONFIG]`. `carcloud up` does this."""

import sys
from importlib import import_module
from pathlib import Path

from carcloud.assembly.context import Context, run_process
from carcloud.assembly.zonefile import ZoneFile
from carcloud.settings import Folder, load


class _WithoutPandas:
    """Keeps pandas out: pyarrow takes it in where it finds it, 50 MiB and a third of a second for nothing here."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


if __name__ == "__main__":
    sys.meta_path.insert(0, _WithoutPandas())
    name, data, *config = sys.argv[1:]
    folder = Folder(Path(data))
    context = Context(name, load(Path(config[0]) if config else None), folder, ZoneFile.read(folder))
    run_process(context, import_module(f"carcloud.assembly.processes.{name.partition('-')[0]}").run)
