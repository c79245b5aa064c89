"""The console's types are the API's."""

import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "web" / "build.py"


def test_types_of_the_console_are_generated_from_the_api_as_it_is() -> None:
    done = subprocess.run([sys.executable, BUILD, "types", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
