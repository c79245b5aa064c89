"""The reception at which a zone meets people and programs: all that decides about them, wired together."""

from __future__ import annotations

from pathlib import Path

from carcloud.backends.records import Records
from carcloud.safety.keys import read_key
from carcloud.safety.people.accounts import SEAL, Accounts
from carcloud.safety.people.approvals import Approvals
from carcloud.safety.people.oidc import Oidc
from carcloud.safety.people.own import Own
from carcloud.safety.people.policy import Policies
from carcloud.safety.people.provider import Provider
from carcloud.safety.people.register import Register
from carcloud.safety.people.settings import OidcSettings
from carcloud.safety.seal import Seal


class Reception:
    """Accounts, approvals, the register of people, and what people change about themselves, under one policy."""

    def __init__(
        self, records: Records, policy: Policies, keys: Path, oidc: OidcSettings | None = None, tenant: str = "default"
    ) -> None:
        self.records, self.policy = records, policy
        self.accounts = Accounts(records, policy, Seal(keys, SEAL))
        self.denials = self.accounts.denials
        self.approvals = Approvals(records, policy)
        self.register = Register(records, self.approvals)
        self.own = Own(self.accounts)
        self.oidc: Oidc | None = None
        if oidc is not None and oidc.issuer:
            secret = read_key(Path(oidc.client_secret_file)).decode().strip()
            self.oidc = Oidc(self.accounts, Provider(oidc, secret), tenant)
