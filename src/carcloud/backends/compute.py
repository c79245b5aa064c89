"""Compute: one function over many pieces of work, in several processes at once.

A port with two backends: processes of this machine (`Processes`), and Ray (`compute_ray.Cluster`).

Rules:
* Function, pieces and answers are pickled by us for us; a function is one of a module, so that others can import it.
* Answers come as they are ready, each with the number of its piece.
* An error of the function is raised where the answers are read, and nothing further is begun.
* A process that dies takes only its piece with it: the answer is `LOST`, and another process takes its place.
* When whoever reads the answers stops, what is under way is stopped too.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Protocol, TypeVar

from carcloud.backends.processes import end_with_parent
from carcloud.errors import CarcloudError, InputError

P = TypeVar("P")
A = TypeVar("A")

LIMIT_WORKERS = 256


class Lost:
    """Stands for the answer of a process that died."""

    def __repr__(self) -> str:
        return "LOST"


LOST: Final = Lost()


class Compute(Protocol):
    """Where work is done."""

    def each(self, work: Callable[[P], A], pieces: Sequence[P]) -> Iterator[tuple[int, A | Lost]]:
        """Do the work on each piece; yield each piece's number and answer, as they are ready."""

    def close(self) -> None:
        """Give back what it holds."""


class Processes:
    """Processes of this machine.

    Args:
        workers: how many at once; None for one a processor that we may use.
    """

    def __init__(self, workers: int | None = None) -> None:
        wanted = len(os.sched_getaffinity(0)) if workers is None else workers
        if not 1 <= wanted <= LIMIT_WORKERS:
            raise InputError(f"{wanted} workers are out of range.", f"Use 1 to {LIMIT_WORKERS}.")
        self._count = wanted
        self._spawn = multiprocessing.get_context("spawn")

    def each(self, work: Callable[[P], A], pieces: Sequence[P]) -> Iterator[tuple[int, A | Lost]]:
        """Do the work on each piece; yield each piece's number and answer, as they are ready."""
        waiting = list(enumerate(pieces))[::-1]
        busy: dict[Connection, tuple[int, Any]] = {}
        idle = [self._begin(work) for _ in range(min(self._count, len(pieces)))]
        try:
            while waiting or busy:
                while waiting and idle:
                    number, piece = waiting.pop()
                    line, process = idle.pop()
                    busy[line] = (number, process)
                    with contextlib.suppress(OSError):  # it died: its end of the line tells below
                        line.send(piece)
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    number, process = busy.pop(ready)
                    answer, error = _answer(ready)
                    if isinstance(answer, Lost):
                        _stop(ready, process)
                        idle.append(self._begin(work))
                    else:
                        idle.append((ready, process))
                    if error is not None:
                        raise error
                    yield number, answer
        finally:
            for line, process in (*idle, *((line, process) for line, (_, process) in busy.items())):
                _stop(line, process)

    def close(self) -> None:
        """Nothing is held between two calls."""

    def _begin(self, work: Callable[[Any], Any]) -> tuple[Connection, Any]:
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(target=_worker, args=(theirs, work), daemon=False)
        process.start()
        theirs.close()
        return ours, process


def _answer(line: Connection) -> tuple[Any, Exception | None]:
    try:
        return line.recv()  # type: ignore[no-any-return]
    except (EOFError, OSError):
        return LOST, None


def _stop(line: Connection, process: Any) -> None:
    line.close()
    process.kill()
    process.join()


def _worker(line: Connection, work: Callable[[Any], Any]) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            piece = line.recv()
        except (EOFError, OSError):
            return
        try:
            said: tuple[Any, Exception | None] = (work(piece), None)
        except CarcloudError as error:
            said = (None, error)
        except Exception as error:  # noqa: BLE001 (told to whoever reads the answers)
            said = (None, RuntimeError(f"{type(error).__name__}: {error}"))
        line.send(said)
