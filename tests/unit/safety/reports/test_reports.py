"""The reports: that they say what is in force, in both languages, and let nothing break out of its place."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from carcloud.backends.records.requests import Request
from carcloud.safety.flows.flow import parse as parse_flows
from carcloud.safety.governance.policy import pack
from carcloud.safety.governance.policy import parse as parse_policy
from carcloud.safety.reports.document import Document, Section
from carcloud.safety.reports.facts import Facts
from carcloud.safety.reports.phrases import _PHRASES, LANGUAGES
from carcloud.safety.reports.reports import REPORT_KINDS, report
from carcloud.safety.reports.settings import ControllerSettings

LAW = """
name: example
about: Cars.
purposes:
  run: {basis: contract, why: Renting the car out.}
  sell: {basis: legitimate-interest, why: Showing offers.}
  know: {basis: consent, why: Learning how it is driven.}
rules:
  - {paths: [Vehicle.CurrentLocation.Latitude], class: sensitive, purposes: [know]}
  - {paths: [Vehicle.Speed], class: personal, purposes: [run, sell], days: 30, exactness: 5, time: 60, car: pseudonym}
  - {paths: [Vehicle.Cabin.**], class: personal, keep: false}
  - {paths: ["Vehicle.Powertrain.**"], class: operational, purposes: [run]}
"""
FLOWS = """
flows:
  study:
    to: eu-fra
    purpose: know
    why: Studied there.
    classes: [sensitive]
    signals: [{paths: [Vehicle.CurrentLocation.Latitude], exactness: 0.1}]
    limits: {sensitive: 9000}
"""
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def facts() -> Facts:
    asked = Request("acme", "erasure", None, "", date(2026, 3, 1), date(2026, 3, 15), NOW)
    return Facts(
        controller=ControllerSettings(name="Acme Motors", officer="dpo@acme.example"),
        zone="eu-fra",
        tenant="acme",
        region="EU",
        today=NOW.date(),
        year=2026,
        policy=parse_policy(LAW, "law"),
        flows=list(parse_flows(FLOWS, "flows").flows.values()),
        signals={0: ["Vehicle.CurrentLocation.Latitude"], 1: ["Vehicle.Speed"], 2: ["Vehicle.Cabin.Door"]},
        unnamed=7,
        vehicles=1234,
        consents={"know": 55},
        requests=[asked],
        erased=3,
        left={("study", "sensitive"): 42},
        stopped=1,
        suspected=2,
        measures={"tls": "1.3"},
    )


@pytest.mark.parametrize("kind", REPORT_KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_report_is_whole_in_both_languages(facts: Facts, kind: str, language: str) -> None:
    made = report(kind, facts, language)  # type: ignore[arg-type]
    text = made.markdown()
    assert "{" not in text
    for said in ("Acme Motors", "eu-fra", "Renting the car out.", "42", facts.policy.hash[:16], "Vehicle.Speed"):
        assert said in text, said
    assert ("待填写" if language == "zh" else "TO BE FILLED IN") in text
    assert len(made.json()["sections"]) == len(made.sections)


def test_record_of_processing_names_what_article_30_asks_for(facts: Facts) -> None:
    text = report("processing", facts, "en").markdown()
    for said in (
        "1234 enrolled",
        "legitimate-interest",
        "30 days",
        "until the car is erased",
        "study",
        "9000",
        "7 signals",
    ):
        assert said in text, said
    assert "exactness 5, time 60 s, pseudonym (month)" in text
    assert "Vehicle.Cabin" not in text  # it is dropped


def test_draft_of_an_assessment_finds_what_somebody_must_judge(facts: Facts) -> None:
    (risks,) = [one for one in report("impact", facts, "en").sections if one.title == "What to look at"]
    found = {(row[0], row[1].split(":")[0]) for row in risks.rows[1:]}
    assert found == {
        ("sensitive data are kept", "1"),
        ("places are kept as they came", "1"),
        ("personal data without a retention", "1"),
        ("personal data under the car's own id", "1"),
        ("personal data on legitimate interest", "2"),
        ("data leave for another zone", "study → eu-fra"),
        ("1 requests of 2026 were late", "–"),
    }


def test_draft_names_months_whose_backups_hold_only_what_should_be_gone(facts: Facts) -> None:
    for today, found in ((date(2026, 3, 30), None), (date(2026, 3, 31), "2026-02"), (NOW.date(), "2026-02")):
        draft = report("impact", replace(facts, today=today, backups=["2026-02", "2026-10"]), "en")
        rows = {row[0]: row[1] for row in section(draft, "What to look at").rows}
        title = "backups can still be opened whose data are all older than the longest retention, 30 days"
        assert rows.get(title) == found, today


def test_draft_without_findings_says_so(facts: Facts) -> None:
    laboratory = pack("laboratory")
    assert laboratory is not None
    quiet = replace(facts, policy=laboratory, flows=[], signals={}, requests=[])
    assert "none of the findings" in report("impact", quiet, "en").markdown()


def test_yearly_report_counts_the_requests_of_its_year_only(facts: Facts) -> None:
    rows = {row[0]: row[1:] for row in section(report("annual", facts, "en"), "Requests by people").rows}
    assert rows["erasure"] == ("1", "0", "0", "1", "1")
    assert rows["access"] == ("0", "0", "0", "0", "0")
    other = section(report("annual", replace(facts, year=2025), "en"), "Requests by people")
    assert {row[1] for row in other.rows[1:]} == {"0"}


def test_every_phrase_has_both_languages_and_the_same_blanks() -> None:
    for key, (english, chinese) in _PHRASES.items():
        assert min(len(english), len(chinese)) > 0, key
        assert sorted(blanks(english)) == sorted(blanks(chinese)), key


def test_configuration_cannot_break_out_of_a_cell_or_become_a_link() -> None:
    bad = "x | y\n## Head <b>[here](http://evil.example)`"
    text = Document("t", "n", [Section("s", rows=[("a", "b"), (bad, "c")])]).markdown()
    assert len(text.splitlines()[-1].replace("\\|", "").split("|")) == 4
    assert "\n## Head" not in text
    assert "\\<b>\\[here" in text


def section(document: Document, title: str) -> Section:
    return next(one for one in document.sections if one.title == title)


def blanks(text: str) -> list[str]:
    return [part.split("}")[0] for part in text.split("{")[1:]]
