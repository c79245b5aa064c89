"""Programs that come in by a token, whichever door they take."""

import hmac

from fastapi.concurrency import run_in_threadpool

from carcloud.api.ports import Access
from carcloud.safety.people.accounts import Accounts
from carcloud.safety.people.caller import Caller
from carcloud.safety.people.secrets import TOKEN_PREFIX


class Bearers:
    """Says who brings a token. `machine`: the caller of the zone's own token."""

    def __init__(self, access: Access, accounts: Accounts) -> None:
        self._token, self._accounts = access.token.encode(), accounts
        self.machine = Caller("token:machine", "the zone's own token", frozenset({"operator"}), access.tenant)

    async def caller(self, token: str) -> Caller | None:
        """Return who brings this token; None where nobody known does."""
        if hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            return self.machine
        if not token.startswith(TOKEN_PREFIX):
            return None
        return await run_in_threadpool(self._accounts.by_token, token)
