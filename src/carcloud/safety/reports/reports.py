"""The reports that a zone can write.

Source: GDPR (EU) 2016/679 articles 15, 30(1) and 35(7); Several Provisions on Automotive Data Security Management
(Trial, 2021) articles 13 and 14; PIPL articles 55 and 56.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, get_args

from carcloud.safety.backup.months import lifetimes, outlived
from carcloud.safety.governance.policy import Rule
from carcloud.safety.reports import parts
from carcloud.safety.reports.document import Document, Section
from carcloud.safety.reports.facts import Facts
from carcloud.safety.reports.phrases import Language, Say, phrases

ReportKind = Literal["processing", "impact", "annual"]
REPORT_KINDS: tuple[ReportKind, ...] = get_args(ReportKind)
PERSONAL = ("personal", "sensitive", "important")
PLACES = ("Latitude", "Longitude")


def report(kind: ReportKind, facts: Facts, language: Language) -> Document:
    """Write a report from facts."""
    return _REPORTS[kind](facts, phrases(language))


def about_data(facts: Facts, language: Language) -> Document:
    """Write what goes with a copy of somebody's data: what for, for how long, to whom it goes, and the rights."""
    say = phrases(language)
    sections = [part(facts, say) for part in (parts.controller, parts.purposes, parts.data, parts.recipients)]
    sections.append(Section(say("rights"), [say("rights_line"), say("complaint_line")]))
    return Document(say("about"), _note("about", facts, say), sections)


def _processing(facts: Facts, say: Say) -> Document:
    sections = [part(facts, say) for part in (parts.controller, parts.purposes, parts.subjects, parts.data)]
    sections += [part(facts, say) for part in (parts.recipients, parts.measures)]
    return Document(say("processing"), _note("processing", facts, say), sections)


def _impact(facts: Facts, say: Say) -> Document:
    sections = [part(facts, say) for part in (parts.controller, parts.purposes, parts.subjects, parts.data)]
    sections += [parts.recipients(facts, say), parts.measures(facts, say), _risks(facts, say)]
    blanks = [(say(key), say("blank")) for key in ("opinion_officer", "opinion_people", "decision")]
    sections.append(Section(say("opinions"), rows=[(say("what"), say("state")), *blanks]))
    return Document(say("impact"), _note("impact", facts, say), sections)


def _annual(facts: Facts, say: Say) -> Document:
    counted = (("vehicles", facts.vehicles), ("erased", facts.erased))
    scale = [(say(key), str(count)) for key, count in counted]
    sections = [
        parts.controller(facts, say),
        parts.purposes(facts, say),
        Section(say("scale"), rows=[(say("what"), say("count")), *scale]),
        parts.data(facts, say),
        Section(say("place_kept"), [say("place_line", region=facts.region or say("blank"))]),
        parts.measures(facts, say),
        Section(say("sharing"), [say("blank")]),
        parts.recipients(facts, say),
        Section(say("incidents"), [say("incidents_line", suspected=facts.suspected), say("blank")]),
        parts.requests(facts, say),
        Section(say("complaints"), [say("blank")]),
    ]
    return Document(say("annual", year=facts.year), _note("annual", facts, say), sections)


def _note(kind: str, facts: Facts, say: Say) -> str:
    return say(f"{kind}_note", zone=facts.zone, tenant=facts.tenant, today=facts.today)


def _risks(facts: Facts, say: Say) -> Section:
    found = [(say(key, **blanks), where, say("blank")) for key, where, blanks in _findings(facts)]
    if not found:
        return Section(say("risks"), [say("no_risks")])
    return Section(say("risks"), rows=[(say("risk"), say("where"), say("judgement")), *found])


def _findings(facts: Facts) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield what somebody has to judge: phrase, where it is, and the phrase's blanks."""
    for at, rule in facts.rules():
        where = f"{at + 1}: {', '.join(rule.paths)}"
        for key in _of_rule(facts, at, rule):
            yield key, where, {}
    for flow in facts.flows:
        yield "risk_leaves", f"{flow.name} → {flow.to}", {}
        if not flow.pseudonym:
            yield "risk_own_id", flow.name, {}
    if (days := lifetimes(facts.policy)) and (months := outlived(facts.backups, days[1], facts.today)):
        yield "risk_backups", ", ".join(months), {"days": days[1]}
    if late := facts.late():
        yield "risk_late", "–", {"late": late, "year": facts.year}


def _of_rule(facts: Facts, at: int, rule: Rule) -> Iterator[str]:
    if rule.kind == "sensitive":
        yield "risk_sensitive"
    if rule.kind == "important":
        yield "risk_important"
    places = any(path.rsplit(".", 1)[-1] in PLACES for path in facts.signals.get(at, ()))
    if places and rule.exactness is None and rule.cell is None:
        yield "risk_place"
    if rule.kind not in PERSONAL:
        return
    if rule.days is None:
        yield "risk_forever"
    if not rule.pseudonym:
        yield "risk_id"
    if any(facts.policy.purposes[name].basis == "legitimate-interest" for name in rule.purposes):
        yield "risk_interest"


_REPORTS: Mapping[ReportKind, Callable[[Facts, Say], Document]] = {
    "processing": _processing,
    "impact": _impact,
    "annual": _annual,
}
