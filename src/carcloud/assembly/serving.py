"""Serving HTTP in a process of the zone."""

from __future__ import annotations

import contextlib

import uvicorn


class QuietServer(uvicorn.Server):
    """Uvicorn that leaves signals to the process."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Capture none."""
        return contextlib.nullcontext()
