"""Places that tenants share: how many of something may be open at once, and who may take one more.

Rules:
- Where a zone has several tenants, none has more than half of the places; a quota holds as it is.
- A tenant that has none always gets one, beyond the others: there are at most as many more as the zone has tenants.
- Nobody has more than half of what their tenant may have, or one where that is less.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from carcloud.errors import TryLaterError


@dataclass(frozen=True)
class Words:
    """What one is told who gets no place: message and what to do, `{}` standing for the number."""

    full: tuple[str, str]
    quota: tuple[str, str]
    own: tuple[str, str]


class Places:
    """So many places, and who has them."""

    def __init__(self, number: int, words: Words) -> None:
        self.number, self._words = number, words
        self._of_tenant, self._of_caller = Counter[str](), Counter[tuple[str, str]]()

    @property
    def taken(self) -> int:
        """Return how many are taken."""
        return self._of_tenant.total()

    def take(self, tenant: str, caller: str, quota: int | None, several: bool) -> None:
        """Take a place, or raise TryLaterError.

        Args:
            caller: who of the tenant.
            quota: how many the tenant may have; None: it has none.
            several: whether the zone has more than one tenant.
        """
        has, most = self._of_tenant[tenant], self.number // 2 if several else self.number
        if quota is not None and has >= quota:
            raise _refused(self._words.quota, quota)
        if has and (has >= most or self.taken >= self.number):
            raise _refused(self._words.full, most)
        own = max(min(most, most if quota is None else quota) // 2, 1)
        if self._of_caller[tenant, caller] >= own:
            raise _refused(self._words.own, own)
        self._of_tenant[tenant] += 1
        self._of_caller[tenant, caller] += 1

    def give_back(self, tenant: str, caller: str) -> None:
        """Give a place back."""
        self._of_tenant[tenant] -= 1
        self._of_caller[tenant, caller] -= 1
        if not self._of_caller[tenant, caller]:
            del self._of_caller[tenant, caller]


def _refused(words: tuple[str, str], number: int) -> TryLaterError:
    message, do = words
    return TryLaterError(message.format(number), do)
