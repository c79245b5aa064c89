from collections.abc import Iterator
from pathlib import Path

import pytest

from carcloud.backends.records import Records
from carcloud.gateway.enrolment import Endpoints
from carcloud.safety.identity import Authority


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records.open(f"sqlite:///{tmp_path}/records.db")
    yield records
    records.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "keys")


@pytest.fixture
def endpoints() -> Endpoints:
    return Endpoints("cloud.example", 8883, "https://cloud.example:8443")
