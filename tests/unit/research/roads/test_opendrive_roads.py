"""Roads of OpenDRIVE become lanes with the right edges, sides, ends and limits."""

import numpy as np
import pytest

from carcloud.errors import InputError
from carcloud.research.adapters.opendrive.roads import read_roads
from carcloud.research.adapters.opendrive.sections import SAG_M


def lane(number: int, inner: str = '<width sOffset="0" a="3.5" b="0" c="0" d="0"/>', kind: str = "driving") -> str:
    return f'<lane id="{number}" type="{kind}">{inner}</lane>'


def road(
    left: str = "",
    right: str = "",
    *,
    name: str = "1",
    link: str = "",
    rule: str = "",
    offset: str = "",
    kind: str = "",
    junction: str = "-1",
    geometry: str = '<geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry>',
) -> str:
    section = (
        f'<laneSection s="0"><left>{left}</left><center><lane id="0"/></center><right>{right}</right></laneSection>'
    )
    return (
        f'<road id="{name}" length="100" junction="{junction}" {rule}><link>{link}</link>{kind}'
        f"<planView>{geometry}</planView><lanes>{offset}{section}</lanes></road>"
    )


def document(*roads: str) -> bytes:
    return f"<OpenDRIVE><header revMajor='1' revMinor='5'/>{''.join(roads)}</OpenDRIVE>".encode()


def test_edges_are_left_and_right_in_the_direction_of_travel() -> None:
    lanes = read_roads(document(road(lane(1), lane(-1) + lane(-2)))).by_name
    np.testing.assert_allclose(lanes["1.0.-1"].left_edge, [[0, 0], [100, 0]])
    np.testing.assert_allclose(lanes["1.0.-1"].right_edge, [[0, -3.5], [100, -3.5]])
    np.testing.assert_allclose(lanes["1.0.-2"].right_edge, [[0, -7], [100, -7]])
    np.testing.assert_allclose(lanes["1.0.1"].left_edge, [[100, 0], [0, 0]])
    np.testing.assert_allclose(lanes["1.0.1"].right_edge, [[100, 3.5], [0, 3.5]])


def test_sides_say_who_is_beside_and_who_comes_towards() -> None:
    lanes = read_roads(document(road(lane(2) + lane(1), lane(-1) + lane(-2)))).by_name
    assert [(one.left, one.right, one.opposite) for one in lanes.values()] == [
        ("1.0.1", "", ""),
        ("", "1.0.2", "1.0.-1"),
        ("", "1.0.-2", "1.0.1"),
        ("1.0.-1", "", ""),
    ]


def test_where_traffic_keeps_left_all_is_the_other_way_round() -> None:
    lanes = read_roads(document(road(lane(2) + lane(1), lane(-1), rule='rule="LHT"'))).by_name
    np.testing.assert_allclose(lanes["1.0.1"].left_edge, [[0, 3.5], [100, 3.5]])
    np.testing.assert_allclose(lanes["1.0.-1"].left_edge, [[100, -3.5], [0, -3.5]])
    assert (lanes["1.0.1"].left, lanes["1.0.1"].right, lanes["1.0.1"].opposite) == ("1.0.2", "", "1.0.-1")


def test_a_lane_reversed_is_driven_the_other_way() -> None:
    reversed_one = lane(-2).replace('type="driving"', 'type="driving" direction="reversed"')
    lanes = read_roads(document(road("", lane(-1) + reversed_one))).by_name
    assert lanes["1.0.-2"].centre[0, 0] == 100
    assert lanes["1.0.-1"].opposite == "1.0.-2"


def test_the_lane_offset_moves_all_lanes() -> None:
    offset = '<laneOffset s="0" a="1" b="0.01" c="0" d="0"/>'
    lanes = read_roads(document(road("", lane(-1), offset=offset))).by_name
    np.testing.assert_allclose(lanes["1.0.-1"].left_edge, [[0, 1], [100, 2]])


def test_borders_count_from_the_reference_line() -> None:
    border = '<border sOffset="0" a="{}" b="0" c="0" d="0"/>'
    lanes = read_roads(document(road(lane(1, border.format(3)), lane(-1, border.format(-2)) + lane(-2)))).by_name
    assert lanes["1.0.1"].right_edge[0, 1] == 3
    assert lanes["1.0.-1"].right_edge[0, 1] == -2
    assert lanes["1.0.-2"].right_edge[0, 1] == -5.5


def test_a_lane_without_width_is_left_out_and_others_stand_beside_each_other() -> None:
    none = lane(-2, '<width sOffset="0" a="0" b="0" c="0" d="0"/>')
    lanes = read_roads(document(road("", lane(-1) + none + lane(-3)))).by_name
    assert set(lanes) == {"1.0.-1", "1.0.-3"}
    assert lanes["1.0.-1"].right == "1.0.-3"


def test_a_width_that_swings_is_drawn_within_the_tolerance() -> None:
    opening = lane(-1, '<width sOffset="0" a="0" b="0" c="0.00105" d="-0.000007"/>')
    right = read_roads(document(road("", opening))).by_name["1.0.-1"].right_edge
    x = np.linspace(0, 100, 5000)
    width = 0.00105 * x**2 - 0.000007 * x**3
    assert np.abs(np.interp(x, right[:, 0], -right[:, 1]) - width).max() < SAG_M * 1.5
    assert len(right) < 60


def test_a_width_that_jumps_is_drawn_as_a_step() -> None:
    widths = '<width sOffset="0" a="3" b="0" c="0" d="0"/><width sOffset="40" a="4" b="0" c="0" d="0"/>'
    right = read_roads(document(road("", lane(-1, widths)))).by_name["1.0.-1"].right_edge
    assert right[:, 1].tolist() == [-3, -3, -4, -4]
    assert 39.99 < right[1, 0] < right[2, 0] == 40


@pytest.mark.parametrize(
    ("speed", "expected"),
    [
        ('<speed sOffset="0" max="20"/>', 20),
        ('<speed sOffset="0" max="72" unit="km/h"/>', 20),
        ('<speed sOffset="0" max="50" unit="mph"/>', 22.352),
        ('<speed sOffset="0" max="10"/><speed sOffset="40" max="20"/><speed sOffset="60" max="30"/>', 20),
        ("", 25),
    ],
)
def test_the_limit_is_the_lanes_own_or_the_roads(speed: str, expected: float) -> None:
    kind = '<type s="0" type="rural"><speed max="90" unit="km/h"/></type>'
    inner = '<width sOffset="0" a="3.5" b="0" c="0" d="0"/>' + speed
    lanes = read_roads(document(road("", lane(-1, inner), kind=kind))).lanes
    assert lanes[0].limit_mps == pytest.approx(expected)


def test_no_limit_is_none() -> None:
    kind = '<type s="0" type="motorway"><speed max="no limit"/></type>'
    assert read_roads(document(road("", lane(-1), kind=kind))).lanes[0].limit_mps is None


LINKED = '<link><{} id="{}"/></link><width sOffset="0" a="3.5" b="0" c="0" d="0"/>'


def test_links_follow_the_traffic_whichever_way_roads_are_drawn() -> None:
    turned = '<geometry s="0" x="200" y="0" hdg="3.141592653589793" length="100"><line/></geometry>'
    first = road(
        lane(1, LINKED.format("successor", -1)),
        lane(-1, LINKED.format("successor", 1)),
        link='<successor elementType="road" elementId="2" contactPoint="end"/>',
    )
    lanes = read_roads(document(first, road(lane(1), lane(-1), name="2", geometry=turned))).by_name
    assert lanes["1.0.-1"].after == ("2.0.1",)
    assert lanes["2.0.1"].before == ("1.0.-1",)
    assert lanes["1.0.1"].before == ("2.0.-1",)
    assert lanes["1.0.1"].after == ()
    np.testing.assert_allclose(lanes["1.0.-1"].centre[-1], lanes["2.0.1"].centre[0], atol=1e-9)


def test_lanes_that_meet_head_on_are_not_linked() -> None:
    first = road(
        "",
        lane(-1, LINKED.format("successor", -1)),
        link='<successor elementType="road" elementId="2" contactPoint="end"/>',
    )
    assert read_roads(document(first, road("", lane(-1), name="2"))).by_name["1.0.-1"].after == ()


def test_a_junction_leads_from_one_lane_into_several() -> None:
    def connecting(name: str, y: float) -> str:
        geometry = f'<geometry s="0" x="100" y="{y}" hdg="0" length="50"><line/></geometry>'
        return road("", lane(-1), name=name, junction="9", geometry=geometry)

    links = "".join(
        f'<connection id="{name}" incomingRoad="1" connectingRoad="{name}" contactPoint="start">'
        '<laneLink from="-1" to="-1"/></connection>'
        for name in ("2", "3")
    )
    incoming = road("", lane(-1), link='<successor elementType="junction" elementId="9"/>')
    junction = f'<junction id="9" name="">{links}</junction>'
    lanes = read_roads(document(incoming, connecting("2", 0), connecting("3", 1), junction)).by_name
    assert lanes["1.0.-1"].after == ("2.0.-1", "3.0.-1")
    assert lanes["2.0.-1"].before == ("1.0.-1",)
    assert [lanes[name].junction for name in ("1.0.-1", "2.0.-1", "3.0.-1")] == [False, True, True]


def test_the_text_is_kept_word_for_word() -> None:
    text = document(road("", lane(-1)))
    roads = read_roads(text)
    assert (roads.verbatim, roads.format) == (text, "opendrive")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<OpenDRIVE><road", "no well-formed XML"),
        (b"<OpenSCENARIO/>", "is no OpenDRIVE"),
        (document(road("", lane(-1)), road("", lane(-1))), "has the id '1' of another"),
        (document(road("", lane(-1) + lane(-1))), "has an id that cannot be"),
        (document(road("", lane(1))), "has an id that cannot be"),
        (document(road("", lane(-1), geometry="")), "has no geometry"),
        (document('<road id="1"/>'), "has no <planView>"),
        (document(road("", lane(-1)).replace('a="3.5"', 'a="NaN"')), "no finite number"),
        (document(road("", lane(-1)).replace('length="100"', 'length="1e8"')), "m long"),
        (document(road("", lane(-1, '<width sOffset="0" a="3"/><speed max="9" unit="knots"/>'))), "has the unit"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        read_roads(text)
    assert refused.value.do


def test_links_to_what_is_not_there_are_left_out() -> None:
    lonely = road(
        "",
        lane(-1, LINKED.format("successor", -7)),
        link='<successor elementType="road" elementId="77" contactPoint="start"/>'
        '<predecessor elementType="junction" elementId="4"/>',
    )
    assert read_roads(document(lonely)).lanes[0].after == ()


def test_a_map_without_roads_has_no_lanes() -> None:
    assert read_roads(document()).lanes == ()
