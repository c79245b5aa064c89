"""The four drivers against whom UN Regulation 157 and its authors measure: what each asks of the brakes.

Rules:
* A driver holds the ego's speed until another car comes into its lane ahead; then it brakes as its model says, and lets
  go once it is no faster than that car.
* Written from the regulation and the papers: the models' words and formulas, with the choices that they leave open
  named here.
* How another lies is told by `free`, metres ahead of the ego's front, and `beside`, metres between the two boxes'
  sides, negative where they overlap; its speeds are along the ego's line, and towards it.

Source: UN R157 (ECE/TRANS/WP.29/2020/81), 5.2.5.2 and Annex 4, Appendix 3 (careful and competent human driver); its 01
series of amendments (ECE/TRANS/WP.29/2022/59), Annex 3, Appendix 3, performance models 1 and 2; Mattas et al., "Driver
models for the definition of safety requirements of automated vehicles in international regulations", Accid. Anal. Prev.
174 (2022); Mattas et al., "Fuzzy surrogate safety metrics for real-time assessment of rear-end collision risk", Accid.
Anal. Prev. 148 (2020); Shalev-Shwartz, Shammah, Shashua, "On a formal model of safe and scalable self-driving cars"
(2017).
"""

from __future__ import annotations

import math

from carcloud.research.simulation.compiled import inlined
from carcloud.research.simulation.sight import seen
from carcloud.research.simulation.world import (
    ASIDE,
    CC_HUMAN,
    JUDGED,
    LENGTH,
    PERCEIVED,
    PUSH,
    REG157,
    RSS,
    SCENE,
    SPEED,
    THERE,
    USERS,
    WIDTH,
    Counts,
    Floats,
)

GRAVITY = 9.81
LANE_WIDTH_M = 3.5
"""Of a lane whose width nobody told."""

WANDER_M, JUDGE_S, DELAY_S = 0.375, 0.4, 0.75
"""Of the human driver: a car that has moved aside by more is coming over; how long it takes to judge that, and then to
brake."""
DANGER_TTC_S, DANGER_BRAKE = 2.0, 5.0
"""Time to collision below which the human driver sees danger; how hard a car in the lane brakes so that it is one."""
HUMAN_BRAKE, WRAPPED_BRAKE, RISE_S = 0.774 * GRAVITY, 0.85 * GRAVITY, 0.6
"""Of the human driver: the hardest braking, that once the car is wholly ahead, and how long either takes to rise."""

INTRUDED_M, SYSTEM_DELAY_S, SYSTEM_BRAKE = 0.3, 0.35, 6.0
"""Of 5.2.5.2: how far a car has come over the marking when it counts, after which time the system brakes, and how
hard."""

RSS_BRAKE, RSS_ASIDE, RSS_ASIDE_BRAKE = 6.0, 0.2, 0.8
"""Of RSS, where the response time is DELAY_S and the ego does not speed up while it responds: the braking that it is
sure of, and to the side the greatest acceleration and the braking that both are sure of. The hardest braking of the car
ahead is LEAD_BRAKE. The response time counts in whole steps, and one more in which danger may come up unseen."""

COMFORT_BRAKE, FIRM_BRAKE, LEAD_BRAKE, MARGIN_M = 4.0, 6.0, 7.0, 2.0
"""Of the fuzzy model: b_ego,comf; b_ego,max; b_cut-in,max; d1."""
FUZZY_JERK = 12.65
EASE_S = 0.1
NEARLY_S = 1e-9
"""Seconds, or metres, that count as none: what sums of steps may be off by."""
"""Of the fuzzy model: what is added to the time in which the two are beside each other."""


@inlined
def proactive(speed: float, lead_speed: float, free: float) -> float:
    """Return the proactive fuzzy safety metric, 0 safe to 1 unsafe."""
    kept = lead_speed * lead_speed / (2 * LEAD_BRAKE)
    safe = speed * DELAY_S + speed * speed / (2 * COMFORT_BRAKE) - kept
    unsafe = speed * DELAY_S + speed * speed / (2 * FIRM_BRAKE) - kept
    room = free - MARGIN_M
    if room >= safe:
        return 0.0
    return 1.0 if room <= unsafe else (safe - room) / (safe - unsafe)


@inlined
def critical(speed: float, acceleration: float, lead_speed: float, free: float) -> float:
    """Return the critical fuzzy safety metric, 0 safe to 1 unsafe: what is left after the time of reaction."""
    after = speed + max(acceleration, -COMFORT_BRAKE) * DELAY_S
    if after <= lead_speed:
        return 0.0
    closed = ((speed + after) / 2 - lead_speed) * DELAY_S
    fast = (after - lead_speed) * (after - lead_speed)
    safe, unsafe = closed + fast / (2 * COMFORT_BRAKE), closed + fast / (2 * FIRM_BRAKE)
    if free >= safe:
        return 0.0
    return 1.0 if free <= unsafe else (safe - free) / (safe - unsafe)


@inlined
def fuzzy_brake(speed: float, acceleration: float, lead_speed: float, free: float) -> float:
    """Return how hard the fuzzy model wants to brake, m/s^2."""
    now = critical(speed, acceleration, lead_speed, free)
    if now > 0.0:
        return COMFORT_BRAKE + now * (FIRM_BRAKE - COMFORT_BRAKE)
    return COMFORT_BRAKE * proactive(speed, lead_speed, free)


@inlined
def rss_unsafe(
    speed: float, lead_speed: float, free: float, aside_speed: float, beside: float, response_s: float
) -> bool:
    """Tell whether both the distance ahead and that to the side are below those of RSS.

    Source: Shalev-Shwartz et al. (2017), definitions 1 and 6, lemmas 2 and 4.
    """
    least = speed * response_s + speed * speed / (2 * RSS_BRAKE) - lead_speed * lead_speed / (2 * LEAD_BRAKE)
    if free >= max(least, 0.0):
        return False
    theirs = aside_speed + response_s * RSS_ASIDE
    ours = response_s * RSS_ASIDE
    wide = (aside_speed + theirs) / 2 * response_s + theirs * abs(theirs) / (2 * RSS_ASIDE_BRAKE)
    wide += ours / 2 * response_s + ours * ours / (2 * RSS_ASIDE_BRAKE)
    return beside < max(wide, 0.0)


@inlined
def comes_over(speed: float, lead_speed: float, free: float, aside_speed: float, beside: float, lengths: float) -> bool:
    """Tell whether a car is in the way or will be beside the ego no later than it is there: model 2's lateral check."""
    if beside <= 0.0:
        return True
    if aside_speed <= 0.0:
        return False
    if speed <= lead_speed:
        return False
    return beside / aside_speed < (free + lengths) / (speed - lead_speed) + EASE_S


@inlined
def risky(
    model: int,
    speed: float,
    acceleration: float,
    lead_speed: float,
    free: float,
    aside_speed: float,
    beside: float,
    moved: float,
    width: float,
    lengths: float,
    step_s: float,
) -> bool:
    """Tell whether a model's driver perceives the other as a risk now. moved: how far the other has come over."""
    if free < 0.0:
        return False
    if model == CC_HUMAN:
        return beside < 0.0 if moved <= WANDER_M else aside_speed > 0.0 or beside < 0.0
    if model == REG157:
        return beside + width / 2 < LANE_WIDTH_M / 2 - INTRUDED_M and speed > lead_speed
    if model == RSS:
        response_s = (math.ceil(DELAY_S / step_s - NEARLY_S) + 1) * step_s
        return rss_unsafe(speed, lead_speed, free, aside_speed, beside, response_s)
    return comes_over(speed, lead_speed, free, aside_speed, beside, lengths) and (
        fuzzy_brake(speed, acceleration, lead_speed, free) > 0.0
    )


@inlined
def calm(waited: float, speed: float, lead_speed: float, free: float) -> bool:
    """Tell whether a driver for whom a risk has ended forgets it, and would need time to react to it anew.

    One who had time to react stays ready as long as the other is ahead and slower.
    """
    return waited < DELAY_S - NEARLY_S or speed <= lead_speed or free < 0.0


@inlined
def since(
    model: int,
    perceived: float,
    judged: float,
    now: float,
    speed: float,
    lead_speed: float,
    lead_push: float,
    free: float,
) -> float:
    """Return since when a driver who perceived a risk at a time knows that it must brake; -1 while it does not.

    The human driver takes a while to judge, and sees a danger only in a short time to collision, or in a car ahead that
    brakes hard. judged: what this returned a step ago.
    """
    if model != CC_HUMAN:
        return perceived
    if judged >= 0.0:
        return judged
    danger = (speed > lead_speed and free < DANGER_TTC_S * (speed - lead_speed)) or lead_push <= -DANGER_BRAKE
    return now if danger and now - perceived >= JUDGE_S - NEARLY_S else -1.0


@inlined
def braking(
    model: int,
    waited: float,
    speed: float,
    acceleration: float,
    lead_speed: float,
    free: float,
    beside: float,
    least_width: float,
    step_s: float,
) -> float:
    """Return the acceleration for the next step of a driver who has known for `waited` seconds that it must brake.

    acceleration: that of the last step. least_width: of the narrower of the two cars.
    """
    delay = SYSTEM_DELAY_S if model == REG157 else DELAY_S
    if waited < delay - NEARLY_S:
        return 0.0
    if model == RSS:
        return -RSS_BRAKE
    if model == REG157:
        return -SYSTEM_BRAKE if speed > lead_speed else 0.0
    if model == CC_HUMAN:
        if speed <= lead_speed:
            return 0.0
        hardest = WRAPPED_BRAKE if beside <= NEARLY_S - least_width else HUMAN_BRAKE
        return max(min(acceleration, 0.0) - hardest / RISE_S * step_s, -hardest)
    wanted = -fuzzy_brake(speed, acceleration, lead_speed, free)
    return max(wanted, min(acceleration, 0.0) - FUZZY_JERK * step_s)


@inlined
def asked(cars: Floats, marks: Counts, line: Floats, ego: int, model: int, now: float, step_s: float) -> float:
    """Return what a model's driver does next: the hardest of what each of the others asks for.

    memory of another: 1 + when it was perceived and when judged, in seconds, 0 for never; how far aside it was at most.
    """
    push, speed, last = 0.0, cars[SPEED, ego], cars[PUSH, ego]
    for other in range(marks[SCENE, USERS]):
        if other == ego or not marks[THERE, other]:
            continue
        near, free, d, half_long, half_wide, along, leftward = seen(cars, marks, line, ego, other)
        if not near:
            cars[PERCEIVED, other] = cars[JUDGED, other] = 0.0
            continue
        beside = abs(d) - half_wide - cars[WIDTH, ego] / 2
        aside_speed = -leftward if d > 0.0 else leftward
        cars[ASIDE, other] = max(cars[ASIDE, other], abs(d))
        width, lengths = cars[WIDTH, ego], cars[LENGTH, ego] + 2 * half_long
        if not risky(
            model, speed, last, along, free, aside_speed, beside, cars[ASIDE, other] - abs(d), width, lengths, step_s
        ):
            if calm(1.0 + now - cars[PERCEIVED, other], speed, along, free):
                cars[PERCEIVED, other] = cars[JUDGED, other] = 0.0
            continue
        if cars[PERCEIVED, other] == 0.0:
            cars[PERCEIVED, other] = 1.0 + now
        cars[JUDGED, other] = 1.0 + since(
            model, cars[PERCEIVED, other] - 1.0, cars[JUDGED, other] - 1.0, now, speed, along, cars[PUSH, other], free
        )
        if cars[JUDGED, other] > 0.0:
            least = 2 * min(half_wide, cars[WIDTH, ego] / 2)
            waited = now - cars[JUDGED, other] + 1.0
            push = min(push, braking(model, waited, speed, last, along, free, beside, least, step_s))
    return push
