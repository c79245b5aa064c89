"""Fixtures shared by all tests, and the table of skipped tests."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from tests.zone import RunningZone, running_zone, simulated_fleet

FLEET = 6
FUZZ_EXAMPLES = 50_000
"""Of each test in tests/fuzz, by `make fuzz`; `make test` tries a hundred."""

hypothesis.settings.register_profile(  # a busy machine stalls for seconds: what a property takes is no test of it
    "carcloud", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("fuzz", hypothesis.settings.get_profile("carcloud"), max_examples=FUZZ_EXAMPLES)
hypothesis.settings.load_profile("carcloud")


@pytest.fixture(scope="session")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a running zone with a few simulated cars reporting; shared, so leave it as it is."""
    data = tmp_path_factory.mktemp("zone") / "data"
    with running_zone(data) as running, simulated_fleet(running, FLEET):
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was skipped as a table with reasons."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("skipped, with reasons")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"| {report.nodeid} | {reason.removeprefix('Skipped: ')} |")
