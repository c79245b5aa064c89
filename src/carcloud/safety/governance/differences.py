"""What a changed governance would change, in sentences that whoever approves it reads.

Rules:
* What protects people less comes first, then what deletes rows that are kept, then the rest; each is marked.
* Whatever makes two files differ is named: nothing that changes the hash is without a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from carcloud.safety.governance.policy import LIMIT_DAYS, Policy, Rule

LIMIT_LINES = 5000
DROPPED = "dropped"
WEAKER, DELETES = " (protects less)", " (deletes rows that are kept)"


def differences(before: Policy, after: Policy, paths: Iterable[str]) -> list[str]:
    """Return what is different; beyond a limit only how much more there is."""
    weaker, deleting, other = list[str](), list[str](), list[str]()
    for path in sorted(paths):
        was, will = before.rule_of(path), after.rule_of(path)
        if said(was) == said(will):
            continue
        line = f"{path}: {said(was)} → {said(will)}"
        if protects_less(before, was, after, will):
            weaker.append(line + WEAKER)
        elif _days(will) < _days(was) or (_kept(was) and not _kept(will) and will is not None and will.days):
            deleting.append(line + DELETES)
        else:
            other.append(line)
    lines = [*_purposes(before, after), *weaker, *deleting, *other, *_whole(before, after)]
    if not lines and before.hash != after.hash:
        lines = ["Only words, or the order of rules, are different."]
    if len(lines) > LIMIT_LINES:
        return [*lines[:LIMIT_LINES], f"and {len(lines) - LIMIT_LINES} more"]
    return lines


def said(rule: Rule | None) -> str:
    """Return a rule in one line: what the governance does with a signal."""
    if rule is None or not rule.keep:
        gone = rule is not None and rule.days is not None
        return f"{DROPPED}, what is kept goes after {rule.days} days" if gone and rule else DROPPED
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


def protects_less(before: Policy, was: Rule | None, after: Policy, will: Rule | None) -> bool:
    """Tell whether a signal is kept where it was not, finer, longer, under the car's id, or without a consent."""
    if will is None or not will.keep:
        return False
    if was is None or not was.keep:
        return True
    finer = (will.exactness or 0.0) < (was.exactness or 0.0) or will.time_s < was.time_s
    finer |= was.cell is not None and (will.cell is None or will.cell > was.cell)
    longer = _days(will) > _days(was)
    unasked = _asks(before, was) and not _asks(after, will)
    return (
        finer or longer or unasked or (was.pseudonym and not will.pseudonym) or set(will.purposes) > set(was.purposes)
    )


def _asks(policy: Policy, rule: Rule) -> bool:
    return all(policy.purposes[name].needs_consent for name in rule.purposes)


def _kept(rule: Rule | None) -> bool:
    return rule is not None and rule.keep


def _days(rule: Rule | None) -> int:
    """Return for how long rows are kept; without an end, longer than any."""
    return LIMIT_DAYS + 1 if rule is None or rule.days is None else rule.days


def _purposes(before: Policy, after: Policy) -> Iterator[str]:
    for name in sorted(before.purposes.keys() | after.purposes.keys()):
        was, will = before.purposes.get(name), after.purposes.get(name)
        if was != will:
            texts = (f"{each.basis}, {each.why}" if each else "none" for each in (was, will))
            yield f"purpose {name}: {' → '.join(texts)}"


def _whole(before: Policy, after: Policy) -> Iterator[str]:
    for key in ("name", "about"):
        was, will = getattr(before, key), getattr(after, key)
        if was != will:
            yield f"{key}: {was or 'none'} → {will or 'none'}"
    if before.epoch != after.epoch:
        yield f"pseudonyms last: {before.epoch} → {after.epoch}"
    for kind in sorted(before.deadlines.keys() | after.deadlines.keys()):
        was, will = before.days_to_answer(kind), after.days_to_answer(kind)
        if was != will:
            yield f"days to answer {kind}: {was} → {will}"
