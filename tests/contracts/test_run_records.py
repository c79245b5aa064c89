"""Runs, verdicts and candidates on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from carcloud.backends.records import Records
from carcloud.backends.records.runs import Candidate, KeptRun, KeptVerdict
from carcloud.errors import MissingError

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RUN = KeptRun("acme", "ab12", "idm", "1" * 64, "cut-in", 3, "2" * 64, "1.0", {"step_s": 0.1}, "machine", AT)
VERDICT = KeptVerdict("acme", "3" * 64, "ab12", "cd34", True, b"{}", "machine", AT)
CANDIDATE = Candidate("acme", "4" * 64, "idm", "1" * 64, "3" * 64, b"{}", "5" * 16, b"\x06" * 64, "machine", AT)


def noted(records: Records) -> list[str]:
    return [f"{act.object.partition(':')[0]} {act.outcome}" for act in records.audit.pending(99)]


def test_run_begun_again_goes_on_as_it_stands(records: Records):
    assert records.runs.begin(RUN) == RUN
    assert records.runs.begin(replace(RUN, made_by="person:other", made_at=AT + timedelta(1))) == RUN
    ended = records.runs.end(RUN, "7" * 64, {"collided": 1}, AT)
    assert records.runs.get("acme", "ab") == ended
    assert records.runs.end(RUN, "7" * 64, {"collided": 1}, AT + timedelta(1)) == ended
    assert noted(records) == ["run done"] * 2


def test_runs_are_of_their_tenant(records: Records):
    records.runs.begin(RUN)
    assert records.runs.listed("other") == []
    with pytest.raises(MissingError, match="No run"):
        records.runs.get("other", "ab12")
    with pytest.raises(MissingError):
        records.runs.get("acme", "")


def test_beginning_of_an_id_must_mean_one_run(records: Records):
    records.runs.begin(RUN)
    records.runs.begin(replace(RUN, id="ab99"))
    with pytest.raises(MissingError, match="Several runs"):
        records.runs.get("acme", "ab")
    with pytest.raises(MissingError, match="No run"):
        records.runs.get("acme", "a%")


def test_verdict_and_candidate_are_kept_once_and_together(records: Records):
    records.runs.judge(VERDICT, CANDIDATE)
    records.runs.judge(VERDICT, CANDIDATE)
    assert records.runs.verdict("acme", "333") == VERDICT
    assert records.runs.candidate("acme", "4444") == CANDIDATE
    assert records.runs.verdicts("acme") == [VERDICT]
    assert noted(records) == ["verdict done", "candidate done"]


def test_candidate_is_withdrawn_once_and_stays(records: Records):
    records.runs.judge(VERDICT, CANDIDATE)
    gone = records.runs.withdraw("acme", "4444", "person:p", AT)
    assert gone.withdrawn_at == AT
    assert records.runs.withdraw("acme", "4444", "person:p", AT + timedelta(1)) == gone
    assert records.runs.candidates("acme") == [gone]
    assert noted(records)[2:] == ["candidate done"]
    with pytest.raises(MissingError):
        records.runs.withdraw("other", "4444", "person:p", AT)
