import pytest

from carcloud.errors import InputError, MissingError
from carcloud.onboard.mapping import read_mapping
from carcloud.vehicle.batch import Provenance

GOOD = """
source: table
vehicle: {column: car}
time: {column: t, unit: s, resolution_us: 1000, start: 2019-10-08T07:00:00Z}
provenance: replay
signals:
  Vehicle.Speed: {column: v, unit: m/s, scale: 2, offset: 1}
  Vehicle.LowVoltageSystemState: {column: state, values: {0: "OFF", 1: "ON"}}
"""


def test_mapping_states_signals_units_time_and_provenance(mapped) -> None:
    mapping = mapped(GOOD)
    assert mapping.table.signals == (("Vehicle.Speed", "km/h"), ("Vehicle.LowVoltageSystemState", None))
    assert mapping.signals[0].factor == pytest.approx(7.2)
    assert mapping.signals[0].offset == pytest.approx(3.6)
    assert mapping.signals[1].values == {"0": "OFF", "1": "ON"}
    assert mapping.time.start_us == 1_570_518_000_000_000
    assert mapping.provenance is Provenance.REPLAY


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("unit: m/s", "units: m/s", "signals.Vehicle.Speed"),
        ("unit: m/s", "unit: V", "signals.Vehicle.Speed.unit is wrong: 'V' cannot be turned into 'km/h'"),
        ("unit: m/s", "unit: warp", "'warp' is no unit"),
        (", unit: m/s", "", "signals.Vehicle.Speed.unit is None"),
        ("Vehicle.Speed:", "Vehicle.Sped:", "signals.Vehicle.Sped is not in the zone's catalogue"),
        ("source: table", "source: tape", "source is 'tape'"),
        ("source: table", "source: [table", "not readable as YAML"),
        ("provenance: replay", "provenance: true", "provenance cannot be True"),
        ("provenance: replay", "provenance: guessed", "provenance is 'guessed'"),
        ("provenance: replay", "provenance: replay\nprovenance: measured", "'provenance' is given twice"),
        ("provenance: replay", "colour: red", "colour is not known here"),
        ("07:00:00Z", "07:00:00", "time.start"),
        ("unit: s,", "unit: fortnights,", "time.unit is 'fortnights'"),
        ("resolution_us: 1000", "resolution_us: 0", "time.resolution_us must be at least 1"),
        ("column: t,", "", "time.column is missing"),
        ("{column: state, ", "{", "signals.Vehicle.LowVoltageSystemState.column is missing"),
        ('1: "ON"', "1: 3", "values must give numbers"),
        ("scale: 2", "scale: two", "scale cannot be 'two'"),
        ("vehicle: {column: car}", "vehicle: 7", "vehicle cannot be 7"),
    ],
)
def test_wrong_mapping_is_refused_by_file_and_key(mapped, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        mapped(GOOD.replace(old, new))
    assert "mapping.yaml" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.do


def test_missing_mapping_file_is_said(tmp_path) -> None:
    with pytest.raises(MissingError, match=r"no mapping file .*examples/mappings"):
        read_mapping(tmp_path / "none.yaml", {})


def test_can_mapping_needs_a_dbc(mapped) -> None:
    with pytest.raises(InputError, match="dbc is missing"):
        mapped("source: can\nvehicle: a\nsignals: {Vehicle.Speed: {column: A.B, unit: km/h}}")


def test_dbc_that_is_nowhere_is_said_with_both_places(mapped, tmp_path) -> None:
    mapping = mapped("source: can\nvehicle: a\ndbc: x.dbc\nsignals: {Vehicle.Speed: {column: A.B, unit: km/h}}")
    with pytest.raises(MissingError, match=r"x\.dbc or .*rec/x\.dbc"):
        mapping.beside("x.dbc", tmp_path / "rec/drive.log")
