"""CommonRoad files become scenarios; what is broken in one is said."""

from pathlib import Path

import numpy as np
import pytest

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import LIMIT_STEPS, Options, Refused
from carcloud.research.adapters.commonroad import reader
from carcloud.research.adapters.commonroad.lanelets import paired


def edge(y: float, xs: tuple[float, ...] = (0, 50, 100)) -> str:
    return "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x in xs)


def lanelet(name: int, y: float, inner: str = "", bounds: str | None = None) -> str:
    both = f"<leftBound>{edge(y + 2)}</leftBound><rightBound>{edge(y - 2)}</rightBound>" if bounds is None else bounds
    return f'<lanelet id="{name}">{both}{inner}</lanelet>'


def state(
    tag: str, step: int | str, x: float | str, y: float = 0, speed: float = 10, yaw: str = "0", more: str = ""
) -> str:
    return (
        f"<{tag}><position><point><x>{x}</x><y>{y}</y></point></position><orientation><exact>{yaw}</exact></orientation>"
        f"<time><exact>{step}</exact></time><velocity><exact>{speed}</exact></velocity>{more}</{tag}>"
    )


BOX = "<shape><rectangle><length>4</length><width>2</width></rectangle></shape>"


def obstacle(name: int, states: str, shape: str = BOX, kind: str = "car", tag: str = "dynamicObstacle") -> str:
    return f'<{tag} id="{name}"><type>{kind}</type>{shape}{states}</{tag}>'


def moving(steps: int = 4, y: float = 0, more: str = "") -> str:
    later = "".join(state("state", step, step, y, more=more) for step in range(1, steps))
    return state("initialState", 0, 0, y, more=more) + f"<trajectory>{later}</trajectory>"


LANES = lanelet(1, 0, '<adjacentLeft ref="2" drivingDir="same"/>') + lanelet(
    2, 4, '<adjacentRight ref="1" drivingDir="same"/>'
)


def document(*inner: str, version: str = "2020a", step: str = "0.1", name: str = "DEU_Test-1_1_T-1") -> str:
    head = f'commonRoadVersion="{version}" benchmarkID="{name}" timeStepSize="{step}"'
    return f"<commonRoad {head}>{''.join(inner)}</commonRoad>"


def read(folder: Path, text: str, options: Options | None = None):
    path = folder / "test.xml"
    path.write_text(text)
    return list(reader.read(path, options or Options(), lambda share: None))


def problem(goal: str = "", name: int = 900, first: str = "") -> str:
    initial = first or state("initialState", 0, 5, speed=7, yaw="0.5")
    return f'<planningProblem id="{name}">{initial}<goalState>{goal}</goalState></planningProblem>'


def test_motion_is_at_the_steps_of_the_file(tmp_path: Path) -> None:
    [scenario] = read(tmp_path, document(LANES, obstacle(7, moving())))
    motion = scenario.motion
    assert (motion.shape, motion.step_s, scenario.ego) == ((1, 4), 0.1, None)
    np.testing.assert_allclose(motion.x[0], [0, 1, 2, 3])
    np.testing.assert_allclose(motion.speed[0], 10)
    assert (motion.users[0].name, motion.users[0].kind, motion.users[0].length) == ("7", "car", 4)
    assert [lane.name for lane in scenario.map.lanes] == ["1", "2"]
    assert (scenario.map.lanes[0].left, scenario.map.lanes[1].right) == ("2", "1")
    assert b"<lanelet" in scenario.map.verbatim
    assert b"Obstacle" not in scenario.map.verbatim


def test_what_stands_is_there_all_the_time(tmp_path: Path) -> None:
    standing = obstacle(8, state("initialState", 0, 30, 4), kind="parkedVehicle", tag="staticObstacle")
    [scenario] = read(tmp_path, document(LANES, obstacle(7, moving()), standing))
    assert scenario.motion.present.all()
    assert scenario.motion.users[1].kind == "car"
    assert scenario.motion.speed[1].tolist() == [0] * 4


def test_roles_of_2018_are_understood(tmp_path: Path) -> None:
    still = obstacle(8, "<role>static</role>" + state("initialState", 0, 30, 4), tag="obstacle")
    driven = obstacle(7, "<role>dynamic</role>" + moving(), tag="obstacle")
    [scenario] = read(
        tmp_path,
        document(LANES.replace("</lanelet>", "<speedLimit>13</speedLimit></lanelet>"), driven, still, version="2018b"),
    )
    assert scenario.motion.present.all()
    assert {lane.limit_mps for lane in scenario.map.lanes} == {13}


def test_a_shape_beside_its_point_moves_the_box(tmp_path: Path) -> None:
    center = "<orientation>0</orientation><center><x>1.5</x><y>0</y></center>"
    shape = f"<shape><rectangle><length>4</length><width>2</width>{center}</rectangle></shape>"
    turned = state("initialState", 0, 10, 20, yaw="1.5707963267948966")
    [scenario] = read(tmp_path, document(obstacle(7, turned, shape)))
    assert (scenario.motion.x[0, 0], scenario.motion.y[0, 0]) == pytest.approx((10, 21.5))
    assert scenario.map is None


def test_circles_and_polygons_have_boxes_around_them(tmp_path: Path) -> None:
    circle = obstacle(1, moving(), "<shape><circle><radius>0.3</radius></circle></shape>", "pedestrian")
    corners = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in ((-2, -1), (2, -1), (2, 1), (-2, 1)))
    other = obstacle(2, moving(y=4), f"<shape><polygon>{corners}</polygon></shape>", "bus")
    users = read(tmp_path, document(circle, other))[0].motion.users
    assert [(user.kind, round(user.length, 6), round(user.width, 6)) for user in users] == [
        ("pedestrian", 0.6, 0.6),
        ("bus", 4, 2),
    ]


def test_an_acceleration_of_the_file_is_kept_along_the_yaw(tmp_path: Path) -> None:
    told = moving(more="<acceleration><exact>0.7</exact></acceleration>")
    [scenario] = read(tmp_path, document(obstacle(7, told)))
    np.testing.assert_allclose(scenario.motion.acceleration[0], 0.7)


def test_intervals_stand_for_their_middle(tmp_path: Path) -> None:
    told = moving().replace("<exact>10</exact>", "<intervalStart>9</intervalStart><intervalEnd>11</intervalEnd>")
    np.testing.assert_allclose(read(tmp_path, document(obstacle(7, told)))[0].motion.speed, 10)


def test_a_problem_gives_an_ego_of_one_step_a_goal_and_parameters(tmp_path: Path) -> None:
    time = "<time><intervalStart>30</intervalStart><intervalEnd>40</intervalEnd></time>"
    goal = f"<position><lanelet ref='2'/></position>{time}"
    [scenario] = read(tmp_path, document(LANES, obstacle(7, moving()), problem(goal)))
    row = scenario.motion.row(scenario.ego)
    assert scenario.motion.present[row].tolist() == [True, False, False, False]
    assert scenario.motion.users[row].name == "900"
    assert scenario.motion.speed[row, 0] == pytest.approx(7)
    assert scenario.parameters["start_yaw"] == 0.5
    assert (scenario.parameters["goal_from_s"], scenario.parameters["goal_to_s"]) == pytest.approx((3, 4))
    assert scenario.goal[0].tolist() == scenario.goal[-1].tolist()
    assert (scenario.goal.min(axis=0).tolist(), scenario.goal.max(axis=0).tolist()) == ([0, 2], [100, 6])


def test_lanelets_that_follow_one_another_are_one_goal(tmp_path: Path) -> None:
    def lane(name: int, xs: tuple[float, ...], link: str) -> str:
        bounds = f"<leftBound>{edge(2, xs)}</leftBound><rightBound>{edge(-2, xs)}</rightBound>"
        return lanelet(name, 0, link, bounds)

    lanes = lane(1, (0, 50), '<successor ref="2"/>') + lane(2, (50, 90), '<predecessor ref="1"/>')
    goal = "<position><lanelet ref='2'/><lanelet ref='1'/></position>"
    [scenario] = read(tmp_path, document(lanes, obstacle(7, moving()), problem(goal)))
    assert scenario.goal[:, 0].tolist() == [0, 50, 50, 90, 90, 50, 50, 0, 0]


def test_each_problem_is_a_scenario_and_a_broken_one_leaves_the_others(tmp_path: Path) -> None:
    broken = problem(name=901, first=state("initialState", 0, "nan"))
    found = read(tmp_path, document(obstacle(7, moving()), problem(), broken, problem(name=902)))
    assert [each.name.split()[-1] for each in found] == ["900", "901", "902"]
    assert [isinstance(each, Refused) for each in found] == [False, True, False]
    assert found[0].goal is None


def test_a_left_neighbour_driven_the_other_way_is_opposite(tmp_path: Path) -> None:
    lanes = lanelet(1, 0, '<adjacentLeft ref="2" drivingDir="opposite"/><adjacentRight ref="77" drivingDir="same"/>')
    [scenario] = read(tmp_path, document(lanes, lanelet(2, 4), obstacle(7, moving())))
    assert (scenario.map.lanes[0].left, scenario.map.lanes[0].right, scenario.map.lanes[0].opposite) == ("", "", "2")


def test_signs_types_and_intersections_are_read(tmp_path: Path) -> None:
    sign = (
        '<trafficSign id="50"><trafficSignElement><trafficSignID>274</trafficSignID>'
        "<additionalValue>8.3</additionalValue></trafficSignElement></trafficSign>"
    )
    crossing = '<intersection id="60"><incoming id="61"><successorsLeft ref="2"/></incoming></intersection>'
    lanes = lanelet(1, 0, '<laneletType>crosswalk</laneletType><trafficSignRef ref="50"/>') + lanelet(2, 4)
    [scenario] = read(tmp_path, document(lanes, sign, crossing, obstacle(7, moving())))
    one, two = scenario.map.lanes
    assert (one.kind, one.limit_mps, two.limit_mps) == ("crossing", 8.3, None)
    assert (one.junction, two.junction) == (False, True)


def test_edges_of_different_counts_are_paired_without_losing_a_corner() -> None:
    left = np.array([[0, 2], [50, 2], [100, 10]], float)
    right = np.array([[0, -2], [100, -2]], float)
    one, two = paired(left, right)
    assert len(one) == len(two) == 3
    np.testing.assert_allclose(one, left)
    np.testing.assert_allclose(two[:, 1], -2)


def test_a_file_is_recognised_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(document(LANES))
    (tmp_path / "b.xml").write_text("<OpenSCENARIO/>")
    (tmp_path / "c.txt").write_text(document(LANES))
    assert [reader.recognises(tmp_path / name) for name in ("a.xml", "b.xml", "c.txt", "none.xml")] == [True] + [
        False
    ] * 3


ONE_EDGE = lanelet(1, 0, bounds=f"<leftBound>{edge(2)}</leftBound>")
SHORT_EDGE = lanelet(1, 0, bounds=f"<leftBound>{edge(2, (0,))}</leftBound><rightBound>{edge(-2)}</rightBound>")
CAR = obstacle(7, moving())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (document(LANES, CAR)[:-30], "no well-formed XML"),
        ('<!DOCTYPE a [<!ENTITY x "9">]>' + document(LANES, CAR), "declares entities"),
        ("<OpenDRIVE/>", "is no CommonRoad file"),
        (document(LANES, CAR, version="2099x"), "is of the version '2099x'"),
        (document(LANES, CAR, step="0"), "steps of 0 s"),
        (document(LANES, CAR, step="100"), "steps of 100 s"),
        (document(LANES, CAR, step="nan"), "no finite number"),
        (document(ONE_EDGE, CAR), "has no <rightBound>"),
        (document(SHORT_EDGE, CAR), "fewer than two points"),
        (document(LANES, lanelet(1, 8), CAR), "are there twice"),
        (document(LANES, CAR, CAR), "has the id '7' of another"),
        (document(LANES.replace("<x>50</x>", "<x>NaN</x>"), CAR), "no finite number"),
        (document(LANES, obstacle(7, state("initialState", 0, "inf"))), "no finite number"),
        (document(LANES, obstacle(7, state("initialState", "0.5", 0))), "is at no step"),
        (document(LANES, obstacle(7, state("initialState", "1e300", 0))), "is at no step"),
        (document(LANES, CAR, obstacle(8, state("initialState", LIMIT_STEPS, 0))), "over 100000 steps"),
        (document(LANES, obstacle(7, moving(), BOX.replace(">4<", ">-4<"))), "has a length of -4"),
    ],
)
def test_a_broken_file_is_refused_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        read(tmp_path, text)
    assert refused.value.do


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (document(LANES), "Nothing moves"),
        (document(LANES, obstacle(7, moving().replace("<x>2</x>", "<x>2000</x>"))), "jumps"),
        (
            document(LANES, obstacle(7, moving(30).replace("<exact>10</exact>", "<exact>36</exact>"))),
            "",
        ),
    ],
    ids=["nothing moves", "jumps", "kilometres an hour"],
)
def test_a_scenario_that_cannot_be_is_refused_by_itself(tmp_path: Path, text: str, said: str) -> None:
    [refused] = read(tmp_path, text)
    assert isinstance(refused, Refused)
    assert said in refused.error.message
    assert refused.error.do


def test_a_map_given_along_takes_the_place_of_the_files(tmp_path: Path) -> None:
    road = tmp_path / "road.xodr"
    road.write_text("<OpenDRIVE/>")
    [scenario] = read(tmp_path, document(LANES, CAR), Options(road=road))
    assert scenario.map.format == "opendrive"
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, document(LANES, CAR), Options(road=tmp_path / "missing.xodr"))
