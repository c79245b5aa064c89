"""One connection of GB/T 32960, without a network: bytes and time in, acts out."""

from datetime import UTC, datetime

import pytest

from carcloud.gateway.gbt32960.session import (
    FRAME_WITHIN_S,
    LIMIT_FAULTS,
    LIMIT_LATER,
    LIMIT_LOGINS,
    LOGIN_WITHIN_S,
    Act,
    Admit,
    AdmitPlatform,
    Close,
    Heard,
    Leave,
    Send,
    Session,
    Take,
)
from carcloud.gateway.gbt32960.settings import Gbt32960Settings
from carcloud.vehicle.gbt32960.forms import (
    Answer,
    Heartbeat,
    Login,
    Logout,
    Message,
    PlatformLogin,
    PlatformLogout,
    Report,
    TimeSync,
)
from carcloud.vehicle.gbt32960.frames import AnswerCode, Cause, Command, Edition, Frame, FrameReader, encode
from carcloud.vehicle.gbt32960.units import Unit
from carcloud.vehicle.gbt32960.writing import write

VIN, OTHER = "LSVAA4182E2123456", "LSVAA4182E2123457"
AT = datetime(2026, 3, 1, 8, 0, 0, tzinfo=UTC)
E2016, E2025 = Edition.E2016, Edition.E2025


def session(**settings: float) -> Session:
    return Session(Gbt32960Settings(port=1, **settings), 100.0)  # type: ignore[arg-type]


def bytes_of(message: Message, edition: Edition = E2016) -> bytes:
    return encode(write(message, edition))


def login(vin: str = VIN) -> bytes:
    return bytes_of(Login(vin, AT, 1, "8" * 20))


def report(vin: str = VIN, edition: Edition = E2016) -> bytes:
    more = {"state": 1, "consumption": None} if edition is E2016 else {}
    return bytes_of(Report(vin, AT, (Unit("engine", {"speed": 800} | more),)), edition)


def answers(acts: list[Act]) -> list[tuple[int, int]]:
    """Return command and code of all answers among the acts."""
    sent = b"".join(act.data for act in acts if isinstance(act, Send))
    frames = [one for one in FrameReader().feed(sent) if isinstance(one, Frame)]
    return [(frame.command, frame.answer) for frame in frames]


def logged_in(edition: Edition = E2016) -> Session:
    one = session()
    (act,) = one.take(bytes_of(Login(VIN, AT, 1, "8" * 20), edition), 100.0)
    assert isinstance(act, Admit)
    assert answers(one.admitted()) == [(Command.LOGIN, AnswerCode.OK)]
    return one


def test_a_login_is_looked_up_and_answered_with_its_time() -> None:
    one = session()
    (act,) = one.take(login(), 100.0)
    assert isinstance(act, Admit)
    assert act.frame.vin == VIN
    (sent,) = one.admitted()
    assert isinstance(sent, Send)
    (frame,) = FrameReader().feed(sent.data)
    assert isinstance(frame, Frame)
    assert (frame.answer, frame.payload) == (AnswerCode.OK, act.frame.payload[:6])
    assert one.logged_in


@pytest.mark.parametrize("cut", [1, 7, 24, 30])
def test_a_login_cut_into_pieces_is_the_same_login(cut: int) -> None:
    one, data, acts = session(), login(), []
    for at in range(0, len(data), cut):
        acts += one.take(data[at : at + cut], 100.0)
    assert [type(act) for act in acts] == [Admit]


def test_what_comes_before_the_login_is_refused() -> None:
    for data in (report(), bytes_of(Logout(VIN, AT, 1)), bytes_of(Heartbeat(VIN)), bytes_of(TimeSync(VIN))):
        one = session()
        acts = one.take(data, 100.0)
        assert [code for _, code in answers(acts)] == [AnswerCode.ERROR]
        assert one.faults == {"not_logged_in": 1}


def test_what_comes_behind_a_login_waits_for_it_in_order() -> None:
    one = session()
    assert len(one.take(login() + report() + bytes_of(Heartbeat(VIN)), 100.0)) == 1
    acts = one.admitted()
    assert [type(act) for act in acts] == [Send, Take, Send]


def test_a_refused_login_is_answered_with_its_code_and_the_third_ends_the_connection() -> None:
    one = session()
    for attempt in range(1, LIMIT_LOGINS + 1):
        one.take(login(), 100.0)
        acts = one.refused(AnswerCode.UNKNOWN, "unknown_vin")
        assert answers(acts) == [(Command.LOGIN, AnswerCode.UNKNOWN)]
        assert (acts[-1] == Close("unknown_vin")) == (attempt == LIMIT_LOGINS)
    assert one.faults["unknown_vin"] == LIMIT_LOGINS


def test_a_terminals_connection_carries_its_own_vin_only() -> None:
    one = logged_in()
    assert answers(one.take(report(OTHER), 100.0)) == [(Command.LIVE, AnswerCode.ERROR)]
    assert answers(one.take(login(OTHER), 100.0)) == [(Command.LOGIN, AnswerCode.ERROR)]
    assert one.faults["second_vin"] == 2
    assert [type(act) for act in one.take(report(), 100.0)] == [Take]


def test_a_platforms_connection_carries_many_and_logs_in_whom_it_reports_of() -> None:
    one = session()
    (act,) = one.take(bytes_of(PlatformLogin("PLATFORM", AT, 1, "authority", "secret")), 100.0)
    assert isinstance(act, AdmitPlatform)
    assert answers(one.admitted("authority")) == [(Command.PLATFORM_LOGIN, AnswerCode.OK)]
    assert one.platform == "authority"
    for vin in (VIN, OTHER):
        (act,) = one.take(report(vin), 100.0)
        assert isinstance(act, Admit)
        assert [type(act) for act in one.admitted()] == [Take]
    acts = one.take(bytes_of(Logout(VIN, AT, 1)), 100.0)
    assert Leave(VIN) in acts
    assert not any(isinstance(act, Close) for act in acts)
    assert Close("") in one.take(bytes_of(PlatformLogout("PLATFORM", AT, 1)), 100.0)


def test_a_car_that_a_platform_may_not_bring_does_not_end_the_platforms_connection() -> None:
    one = session()
    one.take(bytes_of(PlatformLogin("PLATFORM", AT, 1, "authority", "secret")), 100.0)
    one.admitted("authority")
    for _ in range(10):
        one.take(report(), 100.0)
        acts = one.refused(AnswerCode.UNKNOWN, "unknown_vin")
        assert answers(acts) == [(Command.LIVE, AnswerCode.UNKNOWN)]
        assert not any(isinstance(act, Close) for act in acts)


def test_heartbeat_is_answered_and_logout_ends_the_connection() -> None:
    one = logged_in()
    assert answers(one.take(bytes_of(Heartbeat(VIN)), 100.0)) == [(Command.HEARTBEAT, AnswerCode.OK)]
    acts = one.take(bytes_of(Logout(VIN, AT, 1)), 100.0)
    assert answers(acts) == [(Command.LOGOUT, AnswerCode.OK)]
    assert [acts[0], acts[-1]] == [Leave(VIN), Close("")]


def test_a_wrong_check_byte_is_counted_and_answered_with_an_error() -> None:
    one, data = logged_in(), bytearray(report())
    data[-1] ^= 0xFF
    acts = one.take(bytes(data) + report(), 100.0)
    assert answers(acts) == [(Command.LIVE, AnswerCode.ERROR)]
    assert isinstance(acts[-1], Take), "the next frame goes on"
    assert one.faults == {Cause.CHECKSUM: 1}


@pytest.mark.parametrize(
    ("cause", "in_2025"),
    [
        (Cause.SIGNATURE, AnswerCode.SIGNATURE),
        (Cause.STRUCTURE, AnswerCode.STRUCTURE),
        (Cause.UNKNOWN_UNIT, AnswerCode.STRUCTURE),
        (Cause.DECRYPTION, AnswerCode.DECRYPTION),
        (Cause.ENCRYPTED, AnswerCode.DECRYPTION),
        (Cause.UNSUPPORTED, AnswerCode.ERROR),
    ],
)
def test_the_edition_of_2025_says_what_was_wrong(cause: Cause, in_2025: AnswerCode) -> None:
    for edition, code in ((E2016, AnswerCode.ERROR), (E2025, in_2025)):
        one = logged_in(edition)
        (act,) = one.take(report(edition=edition), 100.0)
        assert isinstance(act, Take)
        assert answers(one.wrong(act.frame, cause)) == [(Command.LIVE, code)]
        assert one.faults[cause] == 1


def test_who_says_nothing_but_what_cannot_be_taken_is_closed_after_its_login_too() -> None:
    for edition in (E2016, E2025):
        one, ended = logged_in(edition), []
        for _ in range(LIMIT_FAULTS):
            one.take(report(edition=edition), 100.0)
            ended = one.wrong(write(Heartbeat(VIN), edition), Cause.STRUCTURE)
        assert ended[-1] == Close("faults")


def test_noise_ends_a_connection_soon_before_its_login_and_late_after_it() -> None:
    stranger, known = session(), logged_in()
    bad = bytearray(report())
    bad[-1] ^= 0xFF
    ended = [any(isinstance(act, Close) for act in stranger.take(bytes(bad), 100.0)) for _ in range(LIMIT_FAULTS)]
    assert ended.index(True) == LIMIT_FAULTS // 10 - 1
    mixed = [any(isinstance(act, Close) for act in known.take(bytes(bad) + report(), 100.0)) for _ in range(150)]
    assert not any(mixed), "sound frames make up for some"


def test_who_does_not_log_in_or_does_not_end_a_frame_or_says_nothing_is_closed() -> None:
    one = session()
    assert one.look(100.0 + LOGIN_WITHIN_S) == []
    assert one.look(100.1 + LOGIN_WITHIN_S) == [Close("no_login")]
    slow = logged_in()
    for second in range(30):
        slow.take(report()[second : second + 1], 100.0 + second)
        if slow.look(100.0 + second):
            break
    assert second == FRAME_WITHIN_S + 1, "a byte a second does not keep a connection"
    assert slow.faults["slow"] == 1
    idle = logged_in()
    assert idle.look(100.0 + 90.0) == []
    assert idle.look(100.1 + 90.0) == [Close("idle")]


def test_a_flood_is_read_more_slowly_and_nothing_of_it_is_lost() -> None:
    one = session(frames_per_s=10)
    one.take(login(), 100.0)
    one.admitted()
    acts = one.take(report() * 25, 100.0)
    assert len([act for act in acts if isinstance(act, Take)]) == 25
    assert one.slow_down_s(100.25) == pytest.approx(0.75)
    assert one.slow_down_s(101.0) == 0.0
    waiting = session()
    waiting.take(login() + report() * (LIMIT_LATER + 1), 100.0)
    assert waiting.slow_down_s(100.0) > 0.0, "while a login is looked up, not much is read"


def test_an_answer_of_the_terminal_is_heard_and_one_to_nothing_is_counted() -> None:
    one = logged_in()
    told = encode(write(Answer(VIN, Command.QUERY, AnswerCode.OK, AT), E2016))
    (act,) = one.take(told, 100.0)
    assert isinstance(act, Heard)
    odd = encode(write(Answer(VIN, Command.LIVE, AnswerCode.OK, AT), E2016))
    assert one.take(odd, 100.0) == []
    assert one.faults == {"not_asked": 1}


def test_a_cut_connection_counts_what_it_cut() -> None:
    one = logged_in()
    one.take(report()[:-5], 100.0)
    one.ended()
    assert one.faults == {Cause.TRUNCATED: 1}
