"""What the console knows of the zone is what the zone says of itself."""

import re
import subprocess
import sys
from pathlib import Path

from carcloud.stream.guards import CAUSES

WEB = Path(__file__).parents[2] / "web"


def test_types_of_the_console_are_generated_from_the_api_as_it_is() -> None:
    command = [sys.executable, str(WEB / "build.py"), "types", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_cause_of_refusal_is_explained_in_the_console() -> None:
    words = (WEB / "src" / "words" / "en.ts").read_text(encoding="utf-8")
    explained = re.findall(r"^    (\w+): \[", words.split("  causes: {")[1], flags=re.MULTILINE)
    assert set(explained) == CAUSES
