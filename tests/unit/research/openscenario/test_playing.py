"""Scenarios are played as they say: against closed forms."""

import math

import numpy as np
import pytest

from carcloud.errors import InputError
from tests.unit.research.openscenario import written as w

AHEAD = 1.5
"""From the rear axle to the middle of the box."""


def test_a_car_that_nothing_moves_keeps_lane_and_speed(tmp_path):
    init = [w.placed("A", w.at(-1, 100), 20), w.placed("B", w.at(1, 500), 10)]
    scenario = w.play(tmp_path, w.document([w.car("A"), w.car("B")], init, stop=w.when(5)))
    x, y, yaw, speed = w.row(scenario, "A")
    assert x == pytest.approx(100 + AHEAD + 20 * scenario.motion.time_us / 1e6)
    assert y == pytest.approx(-1.75)
    assert (yaw == 0).all()
    assert speed == pytest.approx(20)
    x, y, yaw, _ = w.row(scenario, "B")
    assert x == pytest.approx(500 - AHEAD - 10 * scenario.motion.time_us / 1e6)
    assert y == pytest.approx(1.75)
    assert np.abs(yaw) == pytest.approx(math.pi)
    assert scenario.motion.shape == (2, 51)
    assert scenario.simulated


def test_on_a_bend_it_goes_as_far_as_its_speed_and_on_over_a_joint(tmp_path):
    text = w.document([w.car("A")], [w.placed("A", w.at(-2, 990), 20)], stop=w.when(6))
    x, y, yaw, speed = w.row(w.play(tmp_path, text), "A")
    turned = (20 * 6 - 10) / (100 + 5.25)
    back = x[-1] - AHEAD * math.cos(yaw[-1]), y[-1] - AHEAD * math.sin(yaw[-1])
    assert yaw[-1] == pytest.approx(turned, abs=1e-4)
    assert back == pytest.approx((1000 + 105.25 * math.sin(turned), 100 - 105.25 * math.cos(turned)), abs=0.01)
    assert speed[-10:] == pytest.approx(20 * math.hypot(1, AHEAD / 105.25), abs=0.02)


def test_where_its_road_ends_it_has_left(tmp_path):
    text = w.document([w.car("A")], [w.placed("A", w.at(-1, 100, road=2), 20)], stop=w.when(10))
    scenario = w.play(tmp_path, text)
    gone = int(np.flatnonzero(~scenario.motion.present[0])[0])
    assert gone == pytest.approx((math.pi / 2 * 101.75 - 101.75) / 2, abs=1)
    assert any(tag.startswith("left the roads: A") for tag in scenario.tags)


@pytest.mark.parametrize(
    ("shape", "dimension", "value", "lasts"),
    [
        ("linear", "time", 2, 2),
        ("cubic", "time", 2, 2),
        ("linear", "rate", -5, 2),
        ("sinusoidal", "rate", 5, math.pi),
        ("cubic", "rate", 5, 3),
        ("linear", "distance", 30, 2),
    ],
)
def test_speed_changes_take_the_time_they_should(tmp_path, shape, dimension, value, lasts):
    slower = w.event("slow", w.private(w.to_speed(10, shape, value, dimension)), w.when(1))
    text = w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 20)], w.group("A", slower), w.when(6))
    scenario = w.play(tmp_path, text)
    speed = w.row(scenario, "A")[3]
    assert speed[:10] == pytest.approx(20)
    assert speed[int((1 + lasts) * 10) + 2 :] == pytest.approx(10)
    assert speed[int((1 + lasts) * 10) - 2] > 10.05
    if dimension == "time":
        assert speed[20] == pytest.approx(15, abs=0.05)
        assert scenario.motion.acceleration[0].min() == pytest.approx({"linear": -5, "cubic": -7.5}[shape], abs=0.1)


def test_a_cut_in_begins_at_the_distance_and_takes_its_time(tmp_path):
    near = '<RelativeDistanceCondition entityRef="B" relativeDistanceType="longitudinal" coordinateSystem="entity" '
    near = w.condition(w.of("A", near + 'freespace="true" value="30" rule="lessThan"/>'), "rising")
    target = '<RelativeTargetLane entityRef="A" value="0"/>'
    cut_in = w.event("cut in", w.private(w.to_lane(target, "sinusoidal", 2, "rate")), near)
    init = [w.placed("A", w.at(-1, 0), 20), w.placed("B", w.at(-2, 60), 15)]
    end = w.condition(w.state("action", "cut in action", "completeState"), delay=1)
    scenario = w.play(tmp_path, w.document([w.car("A"), w.car("B")], init, w.group("B", cut_in), end))
    _, y, yaw, speed = w.row(scenario, "B")
    begins = (60 - 5 - 30) / 5
    lasts = math.pi * 3.5 / (2 * 2)
    moving = np.flatnonzero(np.abs(y + 5.25) > 1e-3)[0] / 10
    assert moving == pytest.approx(begins, abs=0.15)
    assert y[-1] == pytest.approx(-1.75)
    assert scenario.motion.time_us[-1] / 1e6 == pytest.approx(begins + lasts + 1, abs=0.15)
    assert np.diff(y).max() * 10 == pytest.approx(2, abs=0.15)
    assert speed == pytest.approx(15, abs=0.4)
    assert yaw.max() == pytest.approx(math.asin(2 / 15), abs=0.01)


def test_lanes_count_to_the_left_of_the_one_they_are_counted_from(tmp_path):
    left = w.private(w.to_lane('<RelativeTargetLane entityRef="A" value="1"/>', "linear", 1))
    text = w.document(
        [w.car("A")], [w.placed("A", w.at(-2, 0), 20)], w.group("A", w.event("e", left, w.when(1))), w.when(3)
    )
    assert w.row(w.play(tmp_path, text), "A")[1][-1] == pytest.approx(-1.75)
    over = w.private(w.to_lane('<RelativeTargetLane entityRef="A" value="2"/>', "linear", 1))
    text = w.document(
        [w.car("A")], [w.placed("A", w.at(-2, 0), 20)], w.group("A", w.event("e", over, w.when(1))), w.when(3)
    )
    assert w.row(w.play(tmp_path, text), "A")[1][-1] == pytest.approx(1.75)


def test_an_offset_is_reached_within_its_acceleration(tmp_path):
    offset = """<LateralAction><LaneOffsetAction continuous="false"><LaneOffsetActionDynamics maxLateralAcc="0.3"
    dynamicsShape="sinusoidal"/><LaneOffsetTarget><AbsoluteTargetLaneOffset value="1.5"/></LaneOffsetTarget>
    </LaneOffsetAction></LateralAction>"""
    groups = w.group("A", w.event("e", w.private(offset), w.when(1)))
    y = w.row(w.play(tmp_path, w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 20)], groups, w.when(10))), "A")[1]
    lasts = math.pi * math.sqrt(1.5 / 0.6)
    assert y[-1] == pytest.approx(-0.25)
    assert np.flatnonzero(y > -0.2501)[0] / 10 == pytest.approx(1 + lasts, abs=0.25)


def test_a_gap_is_opened_at_once_or_within_accelerations(tmp_path):
    gap = """<LongitudinalAction><LongitudinalDistanceAction entityRef="A" timeGap="2" freespace="true" continuous="{0}"
    displacement="leadingReferencedEntity" coordinateSystem="road">{1}</LongitudinalDistanceAction>
    </LongitudinalAction>"""
    init = [w.placed("A", w.at(-1, 0), 10), w.placed("B", w.at(-1, 40), 10)]
    at_once = [*init, f'<Private entityRef="B">{w.private(gap.format("false", ""))}</Private>']
    scenario = w.play(tmp_path, w.document([w.car("A"), w.car("B")], at_once, stop=w.when(1)))
    a, b = w.row(scenario, "A")[0], w.row(scenario, "B")[0]
    assert b - a == pytest.approx(20 + 5)
    limits = '<DynamicConstraints maxAcceleration="2" maxDeceleration="3" maxSpeed="30"/>'
    slowly = [*init, f'<Private entityRef="B">{w.private(gap.format("true", limits))}</Private>']
    scenario = w.play(tmp_path, w.document([w.car("A"), w.car("B")], slowly, stop=w.when(30)))
    a, b = w.row(scenario, "A")[0], w.row(scenario, "B")[0]
    assert b[-1] - a[-1] == pytest.approx(25, abs=0.1)
    assert scenario.motion.acceleration[1].min() >= -3.01
    assert scenario.motion.acceleration[1].max() <= 2.01


def test_one_meets_another_at_a_place(tmp_path):
    theirs, ours = (
        place.removeprefix("<Position>").removesuffix("</Position>") for place in (w.at(-1, 200), w.at(-2, 300))
    )
    meet = f"""<SynchronizeAction masterEntityRef="A"><TargetPositionMaster>{theirs}</TargetPositionMaster>
    <TargetPosition>{ours}</TargetPosition><FinalSpeed><AbsoluteSpeed value="12"/></FinalSpeed>
    </SynchronizeAction>"""
    init = [w.placed("A", w.at(-1, 0), 20), w.placed("B", w.at(-2, 150), 5)]
    groups = w.group("B", w.event("e", w.private(meet), w.when(0)))
    scenario = w.play(tmp_path, w.document([w.car("A"), w.car("B")], init, groups, w.when(10)))
    x, _, _, speed = w.row(scenario, "B")
    assert x[-1] == pytest.approx(300 + AHEAD, abs=0.3)
    assert speed[-1] == pytest.approx(12, abs=0.3)


def test_a_trajectory_with_times_is_followed_to_the_point(tmp_path):
    vertex = '<Vertex time="{0}"><Position><WorldPosition x="{1}" y="{2}" h="{3}"/></Position></Vertex>'
    line = "".join(vertex.format(t, 10 * t, t * t / 10, t / 50) for t in range(6))
    follow = f"""<RoutingAction><FollowTrajectoryAction><TrajectoryRef><Trajectory name="t" closed="false"><Shape>
    <Polyline>{line}</Polyline></Shape></Trajectory></TrajectoryRef><TimeReference>
    <Timing domainAbsoluteRelative="relative" scale="1" offset="0"/></TimeReference>
    <TrajectoryFollowingMode followingMode="position"/></FollowTrajectoryAction></RoutingAction>"""
    groups = w.group("A", w.event("e", w.private(follow), w.when(1)))
    scenario = w.play(tmp_path, w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 10)], groups, w.when(6)))
    x, y, yaw, _ = w.row(scenario, "A")
    for t in range(6):
        step = 10 + 10 * t
        assert (x[step] - AHEAD * math.cos(yaw[step]), y[step] - AHEAD * math.sin(yaw[step])) == pytest.approx(
            (10 * t, t * t / 10), abs=1e-6
        )
        assert yaw[step] == pytest.approx(t / 50, abs=1e-6)


def test_edges_delays_and_priorities_are_kept(tmp_path):
    once = w.event("first", w.private(w.to_speed(12)), w.when(2, edge="rising", delay=1))
    after = w.condition(w.state("event", "first", "endTransition"), delay=0.5)
    second = w.event("second", w.private(w.to_speed(14)), after)
    text = w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 10)], w.group("A", once, second), w.when(5))
    speed = w.row(w.play(tmp_path, text), "A")[3]
    assert speed[29] == pytest.approx(10)
    assert speed[32:34] == pytest.approx(12)
    assert speed[38:] == pytest.approx(14)
    long = w.event("long", w.private(w.to_speed(30, "linear", 10)), w.when(1))
    for priority, expected in (("override", 20.0), ("skip", 30.0)):
        other = w.event("other", w.private(w.to_speed(20)), w.when(2, edge="rising"), priority)
        text = w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 10)], w.group("A", long, other), w.when(13))
        assert w.row(w.play(tmp_path, text), "A")[3][-1] == pytest.approx(expected), priority


def test_the_time_to_a_collision_and_a_collision_are_seen(tmp_path):
    init = [w.placed("A", w.at(-1, 0), 20), w.placed("B", w.at(-1, 105), 0)]
    ttc = """<TimeToCollisionCondition value="2" freespace="true" rule="lessThan" coordinateSystem="road"
    relativeDistanceType="longitudinal"><TimeToCollisionConditionTarget><EntityRef entityRef="B"/>
    </TimeToCollisionConditionTarget></TimeToCollisionCondition>"""
    hit = w.condition(w.of("A", '<CollisionCondition><EntityRef entityRef="B"/></CollisionCondition>'))
    scenario = w.play(tmp_path, w.document([w.car("A"), w.car("B")], init, stop=w.condition(w.of("A", ttc))))
    assert scenario.motion.time_us[-1] / 1e6 == pytest.approx(3, abs=0.11)
    scenario = w.play(tmp_path, w.document([w.car("A"), w.car("B")], init, stop=hit))
    assert scenario.motion.time_us[-1] / 1e6 == pytest.approx(5, abs=0.11)


def test_without_an_end_it_says_where_it_was_cut(tmp_path):
    long = w.group("A", w.event("never", w.private(w.to_speed(5)), w.when(1e6)))
    scenario = w.play(tmp_path, w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 1)], long))
    assert scenario.motion.time_us[-1] == 120_000_000
    assert any(tag.startswith("cut at 120 s") for tag in scenario.tags)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (w.document([w.car("A")], [w.placed("A", w.at(-7, 0), 1)]), "lane -7"),
        (w.document([w.car("A")], [w.placed("A", w.at(-1, 2000), 1)]), "1000 m long"),
        (w.document([w.car("A")], [w.placed("A", w.at(-1, 0, road=9), 1)]), "road '9'"),
        (w.document([w.car("A")], [w.placed("B", w.at(-1, 0), 1)]), "no entity"),
        (w.document([w.car("A"), w.car("A")], []), "two of one name"),
        (w.document([w.car("A")], []), "Nobody"),
        (w.document([w.car("A")], [w.placed("A", w.at(-1, 0), "$speed")]), "no parameter 'speed'"),
        (w.document([w.car("A")], [w.placed("A", w.at(-1, "nan"), 1)]), "no finite number"),
        (w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 1)], minor=9), "1.9"),
        (w.document([w.car("A")], [w.placed("A", "<Position><GeoPosition/></Position>", 1)]), "GeoPosition"),
        ("<OpenSCENARIO><Catalog/></OpenSCENARIO>", "no scenario"),
        ("<OpenSCENARIO>", "no well-formed"),
    ],
)
def test_what_cannot_be_played_is_refused_by_name(tmp_path, text, said):
    with pytest.raises(InputError) as refused:
        w.play(tmp_path, text)
    assert said in str(refused.value)
    assert refused.value.do


def test_what_is_not_supported_is_refused_before_anything_is_played(tmp_path):
    swarm = "<GlobalAction><TrafficAction><TrafficStopAction/></TrafficAction></GlobalAction>"
    groups = w.group("A", w.event("e", swarm, w.when(1e6)))
    with pytest.raises(InputError, match="TrafficAction is not supported"):
        w.play(tmp_path, w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 1)], groups, w.when(1)))


def test_parameters_are_put_in_and_held_to_their_bounds(tmp_path):
    declared = """<ParameterDeclaration name="speed" parameterType="double" value="10"><ConstraintGroup>
    <ValueConstraint rule="lessOrEqual" value="20"/></ConstraintGroup></ParameterDeclaration>"""
    text = w.document([w.car("A")], [w.placed("A", w.at(-1, 0), "${$speed * 2}")], stop=w.when(1), parameters=declared)
    scenario = w.play(tmp_path, text)
    assert w.row(scenario, "A")[3] == pytest.approx(20)
    assert scenario.parameters == {"speed": 10}
    assert w.row(w.play(tmp_path, text, {"speed": "15"}), "A")[3] == pytest.approx(30)
    for given, said in (
        ({"speed": "21"}, "bounds"),
        ({"speed": "fast"}, "type double"),
        ({"spead": "1"}, "no parameter"),
    ):
        with pytest.raises(InputError, match=said):
            w.play(tmp_path, text, given)
