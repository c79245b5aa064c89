"""Scenarios and roads as tests write them: short, and every number at hand."""

from __future__ import annotations

from carcloud.research.adapters.openscenario.reader import instantiate

LANE = '<lane id="{id}" type="driving" level="false">{link}<width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'


def road(number, x, y, heading, length, shape="<line/>", before="", after=""):
    """Return a road with one lane to the left and two to the right, that joins others start to end."""
    ends = f'<predecessor elementType="road" elementId="{before}" contactPoint="end"/>' if before else ""
    ends += f'<successor elementType="road" elementId="{after}" contactPoint="start"/>' if after else ""
    links = {n: f'<link><predecessor id="{n}"/><successor id="{n}"/></link>' for n in (1, -1, -2)}
    lanes = {n: LANE.format(id=n, link=links[n]) for n in links}
    return f"""<road name="" length="{length}" id="{number}" junction="-1"><link>{ends}</link><planView>
    <geometry s="0" x="{x}" y="{y}" hdg="{heading}" length="{length}">{shape}</geometry></planView>
    <lanes><laneSection s="0"><left>{lanes[1]}</left><center><lane id="0" type="none" level="false"/></center>
    <right>{lanes[-1]}{lanes[-2]}</right></laneSection></lanes></road>"""


ROADS = (
    '<OpenDRIVE><header revMajor="1" revMinor="5"/>'
    + road(1, 0, 0, 0, 1000, after="2")
    + road(2, 1000, 0, 0, 157.07963267948966, '<arc curvature="0.01"/>', before="1")
    + "</OpenDRIVE>"
)
BOX = (
    '<BoundingBox><Center x="1.5" y="0" z="0.75"/><Dimensions width="2" length="5" height="1.5"/></BoundingBox>'
    '<Performance maxSpeed="70" maxAcceleration="10" maxDeceleration="10"/><Axles>'
    '<FrontAxle maxSteering="0.5" wheelDiameter="0.6" trackWidth="1.7" positionX="3" positionZ="0.3"/>'
    '<RearAxle maxSteering="0" wheelDiameter="0.6" trackWidth="1.7" positionX="0" positionZ="0.3"/>'
    "</Axles><Properties/>"
)


def car(name):
    return f'<ScenarioObject name="{name}"><Vehicle name="car" vehicleCategory="car">{BOX}</Vehicle></ScenarioObject>'


def at(lane, s, offset=0, road=1, extra=""):
    place = f'roadId="{road}" laneId="{lane}" s="{s}" offset="{offset}"'
    return f"<Position><LanePosition {place}>{extra}</LanePosition></Position>"


def placed(name, position, speed):
    return f"""<Private entityRef="{name}"><PrivateAction><TeleportAction>{position}</TeleportAction></PrivateAction>
    <PrivateAction>{to_speed(speed)}</PrivateAction></Private>"""


def to_speed(speed, shape="step", value=0, dimension="time"):
    return f"""<LongitudinalAction><SpeedAction>
    <SpeedActionDynamics dynamicsShape="{shape}" value="{value}" dynamicsDimension="{dimension}"/>
    <SpeedActionTarget><AbsoluteTargetSpeed value="{speed}"/></SpeedActionTarget></SpeedAction></LongitudinalAction>"""


def to_lane(target, shape="sinusoidal", value=2, dimension="time"):
    return f"""<LateralAction><LaneChangeAction>
    <LaneChangeActionDynamics dynamicsShape="{shape}" value="{value}" dynamicsDimension="{dimension}"/>
    <LaneChangeTarget>{target}</LaneChangeTarget></LaneChangeAction></LateralAction>"""


def when(value, rule="greaterOrEqual", edge="none", delay=0):
    return condition(
        f'<ByValueCondition><SimulationTimeCondition value="{value}" rule="{rule}"/></ByValueCondition>', edge, delay
    )


def condition(what, edge="none", delay=0):
    told = f'name="c" delay="{delay}" conditionEdge="{edge}"'
    return f"<ConditionGroup><Condition {told}>{what}</Condition></ConditionGroup>"


def of(name, what):
    return f"""<ByEntityCondition><TriggeringEntities triggeringEntitiesRule="any"><EntityRef entityRef="{name}"/>
    </TriggeringEntities><EntityCondition>{what}</EntityCondition></ByEntityCondition>"""


def state(kind, name, state):
    return f"""<ByValueCondition><StoryboardElementStateCondition storyboardElementType="{kind}"
    storyboardElementRef="{name}" state="{state}"/></ByValueCondition>"""


def event(name, action, trigger, priority="override", times=1):
    return f"""<Event name="{name}" priority="{priority}" maximumExecutionCount="{times}"><Action name="{name} action">
    {action}</Action><StartTrigger>{trigger}</StartTrigger></Event>"""


def private(action):
    return f"<PrivateAction>{action}</PrivateAction>"


def group(actor, *events, name="group"):
    return f"""<ManeuverGroup name="{name}" maximumExecutionCount="1"><Actors selectTriggeringEntities="false">
    <EntityRef entityRef="{actor}"/></Actors><Maneuver name="{name} maneuver">
    {"".join(events)}</Maneuver></ManeuverGroup>"""


def document(entities, init, groups="", stop="", parameters="", minor=2, road="roads.xodr"):
    act = (
        f'<Story name="story"><Act name="act">{groups}<StartTrigger>{when(0)}</StartTrigger></Act></Story>'
        if groups
        else ""
    )
    return f"""<?xml version="1.0"?><OpenSCENARIO>
    <FileHeader revMajor="1" revMinor="{minor}" date="2026-01-01T00:00:00" description="" author=""/>
    <ParameterDeclarations>{parameters}</ParameterDeclarations><CatalogLocations/>
    <RoadNetwork><LogicFile filepath="{road}"/></RoadNetwork><Entities>{"".join(entities)}</Entities>
    <Storyboard><Init><Actions>{"".join(init)}</Actions></Init>{act}<StopTrigger>{stop}</StopTrigger></Storyboard>
    </OpenSCENARIO>"""


def play(folder, text, given=None):
    """Write a scenario with its roads, play it, and return it."""
    (folder / "roads.xodr").write_text(ROADS)
    path = folder / "scenario.xosc"
    path.write_text(text)
    return instantiate(path, given or {})


def row(scenario, name):
    """Return x, y, yaw and speed over time of somebody's middle."""
    motion = scenario.motion
    at = [user.name for user in motion.users].index(name)
    return motion.x[at], motion.y[at], motion.yaw[at], motion.speed[at]
