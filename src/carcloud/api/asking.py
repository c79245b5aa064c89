"""Questions to the lake in the name of a caller: for as long as the caller is there, and may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request

from carcloud.api.auth import Caller, reached
from carcloud.errors import NotAllowedError, TryLaterError
from carcloud.lake.asker import Asker
from carcloud.lake.workers import Reply
from carcloud.safety.grants.reach import Reach


def asker_of(
    request: Request, caller: Caller, action: str, look: Callable[[Request], Awaitable[Reach]] | None = None
) -> Asker:
    """Return who asks the lake by an act.

    look: returns what the caller reaches, or raises what refuses them; None: as the policies and grants have it.
    """
    seen = look or reached(action)

    async def reach() -> Reach:
        if not await request.state.still():
            raise NotAllowedError("You may not ask any more, or not as before.", "Sign in again, or use another token.")
        return await seen(request)

    return Asker(caller.tenant, caller.id, reach)


async def while_there(request: Request, question: Coroutine[Any, Any, Reply]) -> Reply:
    """Return the answer to a question; end it once the client has left."""
    doing, leaving = asyncio.create_task(question), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise TryLaterError("The client has left.", "Ask again, and wait for the answer.")
        return doing.result()
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
