"""Another program as a simulation sees it: what is written to it, what it answers, and until when.

Rules:
* It gets few words of the environment, none of which is a secret, and no open file but its three.
* It has a session of its own; when it is late, or is no longer wanted, all of that session is killed.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

KEPT_WORDS = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")
AT_ONCE_BYTES = 1 << 20


class SilentError(Exception):
    """A program did not answer: it is late, or has ended."""


class Program:
    """A running program that answers on its standard output."""

    def __init__(self, words: Sequence[str]) -> None:
        environment = {word: os.environ[word] for word in KEPT_WORDS if word in os.environ}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        self._ahead = bytearray()

    def write(self, message: bytes, until: float) -> None:
        """Write a message; SilentError where the program takes it not, by `time.monotonic`."""
        rest = memoryview(message)
        while rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([], [self._to], [], left)[1]:
                raise SilentError("late")
            try:
                rest = rest[os.write(self._to, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise SilentError("ended") from error

    def read(self, count: int, until: float) -> bytes:
        """Return exactly so many bytes."""
        while len(self._ahead) < count:
            self._more(until)
        found = bytes(self._ahead[:count])
        del self._ahead[:count]
        return found

    def line(self, limit: int, until: float) -> bytes:
        """Return the next line, without its end; at most so many bytes of it."""
        while b"\n" not in self._ahead and len(self._ahead) <= limit:
            self._more(until)
        end = self._ahead.find(b"\n")
        end = len(self._ahead) if end < 0 else end
        found = bytes(self._ahead[:end])
        del self._ahead[: end + 1]
        return found

    def _more(self, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0 or not select.select([self._from], [], [], left)[0]:
            raise SilentError("late")
        found = os.read(self._from, AT_ONCE_BYTES)
        if not found:
            raise SilentError("ended")
        self._ahead += found

    def kill(self) -> None:
        """End the program and all that it started in its session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
