"""What the governance has to do with plans: what it keeps for which purpose, and what history therefore cannot tell.

Rules:
* A plan may ask for what is kept for its purpose, and for nothing else: the rest would be dropped on the way.
* History is what was kept. Where a rule changes values, times or names, what a car would see is not known from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from carcloud.safety.governance.policy import Policy, Rule


def purposes(policy: Policy) -> dict[str, str]:
    """Return the purposes of a policy, and on what basis each is lawful."""
    return {name: purpose.basis for name, purpose in policy.purposes.items()}


def keeps(policy: Policy) -> Callable[[str, str], str | None]:
    """Return what says why a signal is not kept for a purpose, None where it is."""

    def why_not(path: str, purpose: str) -> str | None:
        rule = policy.rule_of(path)
        if rule is None or not rule.keep:
            return f"The governance drops {path}."
        if purpose in policy.purposes and purpose not in rule.purposes:
            return f"The governance keeps {path} for {', '.join(rule.purposes)}, not for {purpose}."
        return None

    return why_not


def doubts(policy: Policy, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return for each signal why history is not what a car sees; those that came as they were are left out."""
    found = {path: _doubts(policy.rule_of(path)) for path in paths}
    return {path: why for path, why in found.items() if why}


def _doubts(rule: Rule | None) -> list[str]:
    if rule is None or not rule.keep:
        return ["the governance drops it"]
    said = []
    if rule.exactness is not None:
        said.append(f"the governance rounds it to steps of {rule.exactness:g}")
    if rule.cell is not None:
        said.append(f"the governance keeps the middle of its H3 cell of resolution {rule.cell}")
    if rule.time_s:
        said.append(f"the governance cuts its times to {rule.time_s} s")
    if rule.pseudonym:
        said.append("the governance keeps it under names of cars that change, and are not those of its other signals")
    return said
