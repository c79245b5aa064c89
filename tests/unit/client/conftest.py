"""The API served for real, as the API's own tests have it, and a client of it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import carcloud
from carcloud.client import Zone as Client

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))

from served import TOKEN, Zone, zone

__all__ = ["zone"]


@pytest.fixture
def client(zone: Zone) -> Iterator[Client]:
    """An open zone."""
    with carcloud.connect(zone.url, TOKEN) as opened:
        yield opened
