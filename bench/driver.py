"""Starts the load generator as a child and speaks its lines."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from generator import Plan

HERE = Path(__file__).parent


class Generator:
    """A running load generator; each step returns its report."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "plan.json"
        file.write_text(json.dumps(asdict(plan)))
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            [sys.executable, HERE / "generator.py", file], stdin=pipe, stdout=pipe, text=True
        )
        self.built = self._answer()

    def step(self, line: str) -> dict[str, Any]:
        """Tell it `connect`, `storm` or `go`, and return what it reports when it has done so."""
        self.tell(line)
        return self._answer()

    def tell(self, line: str) -> None:
        """Tell it a line without waiting."""
        assert self._child.stdin
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for its next report."""
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended with {self._child.wait()}; its message is above")
        report: dict[str, Any] = json.loads(line)
        return report

    def close(self) -> None:
        """Let it leave."""
        if self._child.poll() is None:
            self.tell("quit")
        self._child.wait(30)
