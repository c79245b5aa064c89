"""How this room's loops over cars become machine code: at their first call, kept on disk for the next process.

Rules:
* No fast mathematics, no threads of the compiler's own: the same numbers come out of one scenario or a thousand, on one
  thread or two.
* The interpreter is let go of while one runs, so threads can share scenarios out among them.
* Machine code on disk is of the room as it is: a change in any file that goes into it makes all of it anew. numba looks
  at one file alone, so its stamp is replaced by ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

_TEXTS = [file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))]
_COUNTS = (b"@inlined", b"@compiled", b"CAR_ROWS")
STAMP = hashlib.sha256(b"".join(one for one in _TEXTS if any(word in one for word in _COUNTS))).hexdigest()


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function as machine code, which is made when it is first called."""
    made: Any = njit(nogil=True, fastmath=False, error_model="numpy")(function)
    made.enable_caching()
    made._cache._cache_file._source_stamp = STAMP
    return cast("Callable[P, R]", made)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Return a small function for use in compiled ones; it keeps no machine code of its own."""
    return cast("Callable[P, R]", njit(nogil=True, fastmath=False, error_model="numpy")(function))
