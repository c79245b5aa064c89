"""Work for the contract of compute: functions that other processes import."""

from __future__ import annotations

import os
import time
from pathlib import Path

from carcloud.errors import InputError


def square(number: int) -> int:
    return number * number


def square_unless_four(number: int) -> int:
    if number == 4:
        os._exit(9)
    return number * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise InputError("Not three.", "Give another.")
    return number


def divide(number: int) -> float:
    return 1 / number


def leave_mark(piece: tuple[str, float]) -> int:
    time.sleep(piece[1])
    Path(piece[0]).touch()
    return os.getpid()
