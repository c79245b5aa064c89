"""What every process of a zone is given, and how it runs: until told to stop, logging JSON.

Light, since processes that only hold keys load no more than this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import uvloop

from carcloud.assembly.zonefile import ZoneFile
from carcloud.settings import Folder, Settings

LOG_BYTES, LOG_FILES = 8 * 1024 * 1024, 3


@dataclass(frozen=True)
class Context:
    """What every process of the zone is given. `config`: the file its settings were read from."""

    name: str
    settings: Settings
    folder: Folder
    zone: ZoneFile
    config: Path | None = None


def run_process(context: Context, part: Callable[[Context], Awaitable[None]]) -> None:
    """Run one process until SIGTERM."""
    _log_to(context)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_told(part(context)))


async def _until_told(work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def together(*works: Awaitable[None]) -> None:
    """Run until one of them fails: then the process ends and is started anew."""
    await asyncio.gather(*works)


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what was given as extra."""

    _known = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        body |= {key: value for key, value in vars(record).items() if key not in self._known}
        if record.exc_info:
            body["trace"] = self.formatException(record.exc_info)
        return json.dumps(body, default=str, ensure_ascii=False)


def _log_to(context: Context) -> None:
    handler = RotatingFileHandler(
        context.folder.logs / f"{context.name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES
    )
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("nats", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
