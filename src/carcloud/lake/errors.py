"""What a query is told that met a limit or lost its engine; the same whether the engine or the kernel stopped it."""

from carcloud.errors import InputError, TryLaterError
from carcloud.lake.settings import QueryLimits


def too_slow(limits: QueryLimits) -> InputError:
    """Say that the time is over."""
    return InputError(
        f"The query ran longer than its {limits.time_s:g} s and was stopped.",
        "Narrow it by time, vehicle or signal, or aggregate.",
    )


def too_large(limits: QueryLimits) -> InputError:
    """Say that the memory is used up."""
    return InputError(
        f"The query needs more than its {limits.memory_bytes >> 20} MiB of memory.",
        "Narrow it by time, vehicle or signal, or aggregate before sorting and joining.",
    )


def failed() -> TryLaterError:
    """Say that the engine is gone."""
    return TryLaterError("The query engine failed and starts anew.", "Ask again; if it fails again, report it.")
