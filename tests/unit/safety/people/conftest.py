"""A reception on a clock of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from staff import Clock

from carcloud.backends.records import Records
from carcloud.safety.people.accounts import SEAL, Accounts
from carcloud.safety.people.policy import Policies
from carcloud.safety.seal import Seal


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def policies() -> Policies:
    return Policies.load()


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = Records.open(f"sqlite:///{tmp_path}/records.db")
    yield opened
    opened.close()


@pytest.fixture
def accounts(records: Records, policies: Policies, tmp_path: Path, clock: Clock) -> Accounts:
    return Accounts(records, policies, Seal(tmp_path / "keys", SEAL), clock)
