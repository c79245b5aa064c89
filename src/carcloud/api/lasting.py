"""Answers that go on, such as live events, end soon after the right to them has."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Send

LOOK_EVERY_S = 5.0
"""Looked at when something is sent; live events send a sign of life every 10 s."""


def ending(receive: Receive, send: Send, still: Callable[[], Awaitable[bool]]) -> tuple[Receive, Send]:
    """Return both ends of an answer, which say that the reader has left once `still` is false."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    looked = loop.time()

    async def read() -> Message:
        ends, comes = asyncio.ensure_future(over.wait()), asyncio.ensure_future(receive())
        try:
            await asyncio.wait((ends, comes), return_when=asyncio.FIRST_COMPLETED)
            return comes.result() if comes.done() else {"type": "http.disconnect"}
        finally:
            ends.cancel()
            comes.cancel()

    async def write(message: Message) -> None:
        nonlocal looked
        if over.is_set():
            return
        if message.get("more_body") and loop.time() - looked > LOOK_EVERY_S:
            looked = loop.time()
            if not await still():
                over.set()
                message = {**message, "body": b"", "more_body": False}
        await send(message)

    return read, write
