import pytest

from carcloud.errors import InputError
from carcloud.vehicle.vin import check_digit_holds, parse_vin


def test_vin_is_trimmed_and_upper_cased() -> None:
    assert parse_vin(" 1m8gdm9axkp042788\n") == "1M8GDM9AXKP042788"


@pytest.mark.parametrize(
    "text", ["", "WBA", "WBA0000000000000I", "WBA0000000000000O", "WBA0000000000000Q", "W" * 18, "WBA00000/00000001"]
)
def test_text_that_is_no_vin_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(InputError, match="never I, O or Q"):
        parse_vin(text)


@pytest.mark.parametrize("vin", ["1M8GDM9AXKP042788", "11111111111111111", "5GZCZ43D13S812715"])
def test_check_digit_of_a_north_american_vin_holds(vin: str) -> None:
    assert check_digit_holds(vin) is True


def test_wrong_check_digit_is_reported_not_refused() -> None:
    assert check_digit_holds(parse_vin("1M8GDM9A1KP042788")) is False


def test_check_digit_says_nothing_about_a_vin_of_elsewhere() -> None:
    assert check_digit_holds("WBA00000000000001") is None
