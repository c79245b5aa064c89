"""docs/plans.md and the plans in examples/ are plans, and the page's limits are the code's."""

import re
from pathlib import Path

import pytest

from carcloud.settings import Settings, home_catalogue
from carcloud.vehicle.catalogue import parse as parse_catalogue
from carcloud.vehicle.plans import plan as limits
from carcloud.vehicle.plans.documents import documents
from carcloud.vehicle.plans.plan import KEYS, check
from carcloud.vehicle.plans.wanted import SAMPLINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/plans.md").read_text()
EXAMPLES = {file.name: file.read_text() for file in sorted((ROOT / "examples/plans").glob("*.yaml"))}
EXAMPLES["docs/plans.md"] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_a_plan(name: str) -> None:
    overlay = parse_catalogue((ROOT / "examples/overlays/recordings.yaml").read_text(), "recordings.yaml")
    catalogue = home_catalogue(Settings()).overlaid(overlay)
    for document in documents(EXAMPLES[name]):
        plan, problems = check(document, catalogue, {"research": "legitimate-interest"})
        assert [str(error) for error in problems] == []
        assert plan is not None


def test_page_names_every_key_sampling_and_limit() -> None:
    table = PAGE.split("| key | says |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:]))) == set(KEYS)
    assert set(re.findall(r"^\| `(\w+): ", PAGE, re.MULTILINE)) == set(SAMPLINGS)
    assert f"1 to {limits.LIMIT_SIGNALS} paths" in PAGE
    assert f"at most {limits.LIMIT_BEFORE_US // 60_000_000} min and {limits.LIMIT_AFTER_US // 3_600_000_000} h" in PAGE
    assert f"at most {limits.LIMIT_BYTES >> 10} KiB" in PAGE
    assert (limits.LEAST_BUDGET_BYTES, limits.LIMIT_BUDGET_BYTES) == (10**3, 10**9)
    assert f"| {limits.PRIORITY} |" in PAGE
