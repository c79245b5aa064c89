"""What a changed governance would change, in sentences that whoever approves it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from carcloud.safety.governance.policy import Policy, Rule

LIMIT_LINES = 200
NOTHING = "dropped"


def differences(before: Policy, after: Policy, paths: Iterable[str]) -> list[str]:
    """Return what is different, purposes first, then signal by signal; beyond a limit only how much more there is."""
    lines = [*_purposes(before, after), *_whole(before, after)]
    for path in sorted(paths):
        was, will = said(before.rule_of(path)), said(after.rule_of(path))
        if was != will:
            lines.append(f"{path}: {was} → {will}")
    if len(lines) > LIMIT_LINES:
        return [*lines[:LIMIT_LINES], f"and {len(lines) - LIMIT_LINES} more"]
    return lines


def said(rule: Rule | None) -> str:
    """Return a rule in one line: what the governance does with a signal."""
    if rule is None or not rule.keep:
        return NOTHING
    parts = [f"{rule.kind} for {', '.join(rule.purposes)}"]
    if rule.exactness is not None:
        parts.append(f"to {rule.exactness:g}")
    if rule.cell is not None:
        parts.append(f"in cells of resolution {rule.cell}")
    if rule.time_s:
        parts.append(f"every {rule.time_s} s")
    if rule.pseudonym:
        parts.append("under a pseudonym")
    parts.append("kept" if rule.days is None else f"for {rule.days} days")
    return ", ".join(parts)


def _purposes(before: Policy, after: Policy) -> Iterator[str]:
    for name in sorted(before.purposes.keys() | after.purposes.keys()):
        was, will = before.purposes.get(name), after.purposes.get(name)
        if was != will:
            texts = (f"{each.basis}, {each.why}" if each else "none" for each in (was, will))
            yield f"purpose {name}: {' → '.join(texts)}"


def _whole(before: Policy, after: Policy) -> Iterator[str]:
    if before.epoch != after.epoch:
        yield f"pseudonyms last: {before.epoch} → {after.epoch}"
    for kind in sorted(before.deadlines.keys() | after.deadlines.keys()):
        was, will = before.days_to_answer(kind), after.days_to_answer(kind)
        if was != will:
            yield f"days to answer {kind}: {was} → {will}"
