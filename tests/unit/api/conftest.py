"""Clients of the API served for real; see `served`."""

from collections.abc import Iterator

import httpx
import pytest
from served import TOKEN, Zone, zone

__all__ = ["zone"]


@pytest.fixture
def api(zone: Zone) -> Iterator[httpx.Client]:
    """A client with the zone's token."""
    with httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def stranger(zone: Zone) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=zone.url) as client:
        yield client
