"""What a tree of processes costs: CPU seconds and memory, by part.

Rules:
* CPU is user + system time from the kernel's accounting, of processes that live at the end of the measured span.
* Memory is PSS (shared pages counted once over all), sampled once a second; the peak of the sum is what a zone needs.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import psutil

NAMES = ("nats-server", "mosquitto", "postgres")


def part(process: psutil.Process) -> str:
    """Return what a process is: its own program's name, or for one of ours the word after `carcloud`'s module."""
    line = process.cmdline()
    program = Path(line[0]).name if line else process.name()
    for name in NAMES:
        if program.startswith(name) or process.name().startswith(name):
            return name
    if any(word.startswith("peers.") for word in line):
        return "sink"
    if "carcloud.lake.worker" in line:
        return "queries"
    return next((Path(word).stem for word in line[1:] if not word.startswith("-")), program)


class Usage:
    """Watches the trees below some processes from `start` to `stop`."""

    def __init__(self, roots: list[int], name: Callable[[psutil.Process], str] = part) -> None:
        self._roots, self._name = [psutil.Process(pid) for pid in roots], name
        self._stopped = threading.Event()
        self.peak_bytes: dict[str, int] = defaultdict(int)
        self.peak_total_bytes = 0
        self._before = self._cpu()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _tree(self) -> list[psutil.Process]:
        return [p for root in self._roots if root.is_running() for p in (root, *root.children(recursive=True))]

    def _cpu(self) -> dict[tuple[int, str], float]:
        spent = {}
        for process in self._tree():
            try:
                times = process.cpu_times()
                spent[process.pid, self._name(process)] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
        return spent

    def _sample(self) -> None:
        while not self._stopped.wait(1.0):
            now: dict[str, int] = defaultdict(int)
            for process in self._tree():
                try:
                    now[self._name(process)] += _pss(process.pid)
                except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                    continue
            self.peak_total_bytes = max(self.peak_total_bytes, sum(now.values()))
            for name, size in now.items():
                self.peak_bytes[name] = max(self.peak_bytes[name], size)

    def stop(self) -> dict[str, float]:
        """Return the CPU seconds of each part since the start."""
        spent: dict[str, float] = defaultdict(float)
        for (pid, name), seconds in self._cpu().items():
            spent[name] += seconds - self._before.get((pid, name), 0.0)
        self._stopped.set()
        self._thread.join()
        return dict(spent)


def _pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1024
