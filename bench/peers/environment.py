"""The environment of the peer that needs its own: ClickHouse in process brings a whole server in one package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".peers"
PYTHON = FOLDER / "bin" / "python"
NEEDS = ("chdb", "pyarrow", "numpy", "zstandard", "paho-mqtt", "google-crc32c")


def prepare() -> None:
    """Make the environment where it is missing; it is no part of the project and git ignores it."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
    have = subprocess.run([PYTHON, "-c", "import chdb"], capture_output=True, check=False).returncode == 0
    if not have:
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *NEEDS], check=True)


def prepare_with(package: str) -> None:
    """Make the environment where it is missing, with one package of this name and nothing else."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
    have = subprocess.run([PYTHON, "-c", f"import {package}"], capture_output=True, check=False).returncode == 0
    if not have:
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", package], check=True)
