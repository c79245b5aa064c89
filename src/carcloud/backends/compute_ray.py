"""Compute on Ray: the same pieces of work, on the machines of a cluster.

Rules:
* As `compute` has them. Nothing is done twice: Ray does not try again what failed or was lost.
* Every machine has the same carcloud installed, and sees the folders that the pieces name.
* With no address Ray is started on this machine, for this process, and ended with it. It tells nobody of its use.

Source: docs.ray.io, "Ray Core API": `init`, `remote`, `wait`, `cancel`; `WorkerCrashedError`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from carcloud.backends.compute import LIMIT_WORKERS, LOST, Lost
from carcloud.errors import CarcloudError, InputError, MissingError, TryLaterError

P = TypeVar("P")
A = TypeVar("A")

EXTRA = "pip install 'carcloud[ray]'"


class Cluster:
    """A Ray cluster.

    Args:
        address: of one that runs, such as `auto` or `ray://host:10001`; None: one of our own on this machine.
        workers: how many at once; None: as many as the cluster has processors.

    Raises:
        MissingError: the extra is not installed.
        TryLaterError: the cluster does not answer.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        if workers is not None and not 1 <= workers <= LIMIT_WORKERS:
            raise InputError(f"{workers} workers are out of range.", f"Use 1 to {LIMIT_WORKERS}.")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self._ray = importlib.import_module("ray")
        except ModuleNotFoundError:
            raise MissingError("Ray is not installed here.", f"Install it: {EXTRA}") from None
        here = {"num_cpus": workers, "include_dashboard": False} if address is None else {"address": address}
        try:
            self._ray.init(**here, configure_logging=False, log_to_driver=False, ignore_reinit_error=True)
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            raise TryLaterError(f"Ray does not answer: {type(error).__name__}.", "Look whether it runs.") from None
        self._count = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def each(self, work: Callable[[P], A], pieces: Sequence[P]) -> Iterator[tuple[int, A | Lost]]:
        """Do the work on each piece; yield each piece's number and answer, as they are ready."""
        doing = self._ray.remote(_doing).options(max_retries=0, num_cpus=1)
        waiting = list(enumerate(pieces))[::-1]
        busy: dict[Any, int] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self._count:
                    number, piece = waiting.pop()
                    busy[doing.remote(work, piece)] = number
                ready, _ = self._ray.wait(list(busy), num_returns=1)
                number = busy.pop(ready[0])
                yield number, self._answer(ready[0])
        finally:
            for one in busy:
                self._ray.cancel(one, force=True)

    def close(self) -> None:
        """Leave the cluster, and end one of our own."""
        self._ray.shutdown()

    def _answer(self, ready: Any) -> Any:
        try:
            answer, error = self._ray.get(ready)
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.OutOfMemoryError):
            return LOST
        if error is not None:
            raise error
        return answer


def _doing(work: Callable[[Any], Any], piece: Any) -> tuple[Any, Exception | None]:
    try:
        return work(piece), None
    except CarcloudError as error:
        return None, error
    except Exception as error:  # noqa: BLE001 (told to whoever reads the answers)
        return None, RuntimeError(f"{type(error).__name__}: {error}")
