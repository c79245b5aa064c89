"""Sections that more than one report has."""

from __future__ import annotations

from carcloud.backends.records.requests import REQUEST_KINDS
from carcloud.safety.governance.policy import Rule
from carcloud.safety.reports.document import Section
from carcloud.safety.reports.facts import Facts, by_kind
from carcloud.safety.reports.phrases import Say

LIMIT_NAMED = 12
"""So many signals of a rule are named; of more, only how many."""


def controller(facts: Facts, say: Say) -> Section:
    """Who answers for the data, and where they are."""
    who = facts.controller
    known = [
        ("name", who.name),
        ("address", who.address),
        ("contact", who.contact),
        ("officer", who.officer),
        ("security", who.security),
        ("zone", facts.zone),
        ("region", facts.region),
    ]
    rows = [(say(key), value or say("blank")) for key, value in known]
    policy = f"{facts.policy.name} ({facts.policy.hash[:16]})"
    return Section(say("controller"), rows=[(say("what"), say("state")), *rows, (say("governance"), policy)])


def subjects(facts: Facts, say: Say) -> Section:
    """Whose data they are."""
    return Section(say("subjects"), [say("people", vehicles=facts.vehicles), say("persons_outside")])


def purposes(facts: Facts, say: Say) -> Section:
    """What data is used for, and why that is lawful."""
    head = (say("purpose"), say("basis"), say("why"), say("agreed"))
    rows = [
        (purpose.name, purpose.basis, purpose.why, str(facts.consents.get(name, 0)) if purpose.needs_consent else "–")
        for name, purpose in facts.policy.purposes.items()
    ]
    return Section(say("purposes"), rows=[head, *rows])


def data(facts: Facts, say: Say) -> Section:
    """What is kept: by rule, in the order of the file."""
    head = (say("class"), say("signals"), say("purpose"), say("necessity"), say("changed"), say("kept_for"))
    rows = []
    for at, rule in facts.rules():
        treated = (changes(rule, facts.policy.epoch) or say("no"), kept_for(rule, say))
        rows.append((rule.kind, named(facts, at, rule), ", ".join(rule.purposes), rule.why or "–", *treated))
    return Section(say("data"), [say("dropped", unnamed=facts.unnamed)], [head, *rows])


def named(facts: Facts, at: int, rule: Rule) -> str:
    """Return a rule's signals: the paths where they are few, else its own words and how many they are."""
    paths = facts.signals.get(at, ())
    if len(paths) <= LIMIT_NAMED:
        return ", ".join(paths) or ", ".join(rule.paths) + " (0)"
    return f"{', '.join(rule.paths)} ({len(paths)})"


def changes(rule: Rule, epoch: str) -> str:
    """Return how a rule makes its signals less exact, in the words of the governance file."""
    parts = []
    if rule.exactness is not None:
        parts.append(f"exactness {rule.exactness:g}")
    if rule.cell is not None:
        parts.append(f"cell {rule.cell}")
    if rule.time_s:
        parts.append(f"time {rule.time_s} s")
    if rule.pseudonym:
        parts.append(f"pseudonym ({epoch})")
    return ", ".join(parts)


def kept_for(rule: Rule, say: Say) -> str:
    """Return how long rows of a rule are kept."""
    return say("until_erased") if rule.days is None else say("days", days=rule.days)


def recipients(facts: Facts, say: Say) -> Section:
    """To whom data leave."""
    if not facts.flows:
        return Section(say("recipients"), [say("no_flows")])
    year = facts.year
    known = ("flow", "to", "purpose", "classes", "pseudonym")
    head = [*map(say, known), say("people_left", year=year), say("limit"), say("assessment")]
    rows = []
    for flow in facts.flows:
        left = ", ".join(f"{kind} {facts.left.get((flow.name, kind), 0)}" for kind in flow.classes)
        limits = ", ".join(f"{kind} {count}" for kind, count in flow.limits.items()) or "–"
        other = say("yes" if flow.pseudonym else "no")
        classes, assessed = ", ".join(flow.classes), flow.assessment or "–"
        rows.append((flow.name, flow.to, flow.purpose, classes, other, left, limits, assessed))
    return Section(say("recipients"), [say("stopped", year=year, stopped=facts.stopped)], [head, *rows])


def measures(facts: Facts, say: Say) -> Section:
    """What guards the data."""
    rows = [(say(f"measure_{key}"), value) for key, value in facts.measures.items()]
    return Section(say("measures"), rows=[(say("what"), say("state")), *rows])


def requests(facts: Facts, say: Say) -> Section:
    """What people asked for in the year, and whether they were answered in time."""
    mine = facts.of_year()
    received, year = by_kind(mine), facts.year
    by_outcome = {
        key: by_kind(one for one in mine if one.outcome == outcome)
        for key, outcome in (("done", "done"), ("refused", "refused"), ("open", None))
    }
    late = by_kind(one for one in mine if one.late(facts.today))
    head = (say("kind"), say("received", year=year), say("done"), say("refused"), say("open"), say("late"))
    rows = [
        (say(kind), *(str(count[kind]) for count in (received, *by_outcome.values(), late))) for kind in REQUEST_KINDS
    ]
    return Section(say("requests"), rows=[head, *rows])
