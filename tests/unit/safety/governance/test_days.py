"""How long rows are kept, by the governance's days."""

from datetime import UTC, date, datetime, timedelta, timezone

from carcloud.safety.governance.days import day_number, day_of, days_by, expired, kept_by_signal
from carcloud.safety.governance.policy import parse

SHORT, LONG, EVER, GONE, LEFT = "A.short", "B.long", "C.ever", "D.gone", "E.left"
POLICY = parse(
    """
name: timed
purposes: {run: {basis: contract, why: x}}
rules:
  - {paths: [A.*], class: personal, purposes: [run], days: 7}
  - {paths: [B.*], class: operational, purposes: [run], days: 30}
  - {paths: [C.*], class: operational, purposes: [run]}
  - {paths: [D.*], class: personal, keep: false, days: 2}
  - {paths: [E.*], class: personal, keep: false}
""",
    "timed",
)
DAYS = {SHORT: 7, LONG: 30}


def test_a_row_expires_the_day_after_its_days_are_over():
    today = 100
    for day, gone in ((92, {SHORT}), (93, set()), (69, {SHORT, LONG}), (70, {SHORT}), (0, {SHORT, LONG}), (101, set())):
        assert expired([SHORT, LONG, EVER], day, DAYS.get, today) == gone


def test_the_first_rule_that_names_a_signal_says_how_long_and_what_none_names_stays():
    days_of = days_by(POLICY)
    assert [days_of(path) for path in (SHORT, LONG, EVER, GONE, LEFT, "F.unnamed")] == [7, 30, None, 2, None, None]


def test_days_are_those_of_utc():
    assert day_number("1970-01-02") == 1
    assert day_of(datetime(1970, 1, 2, 23, 59, tzinfo=UTC)) == 1
    assert day_of(datetime(1970, 1, 2, 23, 59, tzinfo=timezone(timedelta(hours=-1)))) == 2


def test_what_is_kept_and_when_it_goes_by_signal():
    first, second = "1970-01-02", "1970-01-03"
    counts = [(SHORT, first, 5), (SHORT, second, 7), (EVER, first, 9), ("F.unnamed", first, 1)]
    short, ever, unnamed = kept_by_signal(POLICY, counts, day_number("1970-01-10"))
    assert (short.signal, short.kind, short.days, short.rows, short.due) == (SHORT, "personal", 7, 12, 5)
    assert (short.oldest, short.next) == (date(1970, 1, 2), date(1970, 1, 10))
    assert (ever.days, ever.next, ever.due) == (None, None, 0)
    assert (unnamed.kind, unnamed.days) == ("", None)
