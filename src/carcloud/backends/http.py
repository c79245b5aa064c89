"""HTTP for uvicorn that nobody can hold open: a head comes soon and is short, else the connection is cut.

The time runs from the connection's beginning, and after each answer anew: line breaks and the rest of a refused body
put it off no more than silence does.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_S = 10.0
LIMIT_HEAD_BYTES = 32 * 1024


class PromptHttp(HttpToolsProtocol):
    """A connection that must be used: `uvicorn.Config(http=PromptHttp)`."""

    _late: asyncio.TimerHandle | None = None
    _head_bytes: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; hang up on a head without end."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > LIMIT_HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """Count the head's bytes."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._late is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """Let the request begin."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Begin to wait for the next head, if it is not already here."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None and self._late is None:
            self._expect_head()

    def _expect_head(self) -> None:
        self._late = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        self._head_bytes = None
        if self._late is not None:
            self._late.cancel()
            self._late = None
