"""Runs one process of a zone: `python -m carcloud.assembly NAME DATA [CONFIG]`. `carcloud up` does this."""

import re
import sys
from importlib import import_module
from pathlib import Path

from carcloud.assembly.context import Context, run_process
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.imports import leave_out_pandas
from carcloud.settings import Folder, settings_of

if __name__ == "__main__":
    leave_out_pandas()
    name, data, *config = sys.argv[1:]
    folder = Folder(Path(data))
    file = Path(config[0]) if config else None
    context = Context(name, settings_of(file, folder), folder, ZoneFile.read(folder), file)
    module = re.sub(r"-\d+$", "", name).replace("-", "_")  # gateway-1 is a gateway
    run_process(context, import_module(f"carcloud.assembly.processes.{module}").run)
