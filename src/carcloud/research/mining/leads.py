"""Who is ahead in the same lane, who is beside, and who cut in.

Rules:
* On a map a lead is looked for along the lanes, in all that a lane leads into; where it forks and the recording shows
  which way it took, in that one only.
* Off the map, or without one, a lead is what lies in a road user's way: a strip as wide as both, bent as it turns.
* Pedestrians are no leads and no neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carcloud.research.measures import compiled, drac, thw, ttc
from carcloud.research.mining.catalogue import BESIDE_M, REACH_M
from carcloud.research.mining.lanes import MANY, Indices, leads_to
from carcloud.research.motion import Numbers

LANE_M = 3.5
"""How wide a lane is taken to be where there is no map."""
SLOW_MPS = 3.0
"""Below this nobody's way is taken to be bent."""
ALONG = 0.5
"""Cosine between headings from which two go the same way."""


class Around(NamedTuple):
    """Who is around: (V, T) rows of road users, -1 for nobody; gaps and offsets in metres, NaN for nobody.

    cut_in: 1 where the lead came from the side, 0 where not.
    """

    lead: Indices
    gap: Numbers
    cut_in: NDArray[np.int8]
    left: Indices
    left_offset: Numbers
    right: Indices
    right_offset: Numbers


@compiled
def around(
    x: Numbers,
    y: Numbers,
    yaw: Numbers,
    speed: Numbers,
    rate: Numbers,
    lengths: Numbers,
    widths: Numbers,
    counts: NDArray[np.bool_],
    lane: Indices,
    s: Numbers,
    lane_length: Numbers,
    lane_left: Indices,
    lane_right: Indices,
    after: Indices,
    before: Indices,
    crossed: Indices,
    recent: int,
) -> Around:
    """Return who is around each road user at each step.

    Args:
        counts: (V, T) whether it is there and may be a lead.
        lane: (V, T) places of lanes, -1 off the map. s: (V, T) metres along them.
        crossed: (V, T) the step of its last lane change. recent: steps within which a lead has cut in.
    """
    users, steps = x.shape
    shape = (users, steps)
    lead, left, right = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    gap, left_off, right_off = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    cut_in = np.zeros(shape, np.int8)
    lanes = len(lane_length)
    taken = np.zeros((users, max(lanes, 1)), np.bool_)
    for user in range(users):
        for step in range(steps):
            if lane[user, step] >= 0:
                taken[user, lane[user, step]] = True
    first, following = np.full(max(lanes, 1), -1, np.int32), np.full(users, -1, np.int32)
    waiting, ahead = np.empty(MANY, np.int32), np.empty(MANY, np.float64)
    order, place = np.empty(users, np.int64), np.empty(users, np.int64)
    for step in range(steps):
        first[:] = -1
        for user in range(users):
            if counts[user, step] and lane[user, step] >= 0:
                following[user] = first[lane[user, step]]
                first[lane[user, step]] = user
        by_x = np.argsort(np.where(np.isnan(x[:, step]), np.inf, x[:, step]))
        known = 0
        for at in range(users):
            if counts[by_x[at], step]:
                order[known] = by_x[at]
                place[by_x[at]] = known
                known += 1
        for at in range(known):
            me = order[at]
            mine = lane[me, step]
            if mine >= 0:
                best, nearest = -1, REACH_M
                waiting[0], ahead[0], count, turn = mine, -s[me, step], 1, 0
                while turn < count:
                    on, offset = waiting[turn], ahead[turn]
                    turn += 1
                    other = first[on]
                    while other >= 0:
                        distance = offset + s[other, step]
                        if other != me and distance > 0 and distance < nearest:
                            best, nearest = other, distance
                        other = following[other]
                    if offset + lane_length[on] >= nearest:
                        continue
                    chosen = False
                    for into in after[on]:
                        chosen = chosen or (into >= 0 and taken[me, into])
                    for into in after[on]:
                        if into >= 0 and count < MANY and (taken[me, into] or not chosen):
                            waiting[count], ahead[count] = into, offset + lane_length[on]
                            count += 1
                if best >= 0:
                    lead[me, step], gap[me, step] = best, nearest - (lengths[me] + lengths[best]) / 2
                    since = crossed[best, step]
                    if since >= 0 and step - since <= recent and counts[me, since] and crossed[me, step] < since:
                        cut_in[me, step] = 1
            cos, sin = np.cos(yaw[me, step]), np.sin(yaw[me, step])
            bend = rate[me, step] / speed[me, step] if abs(speed[me, step]) > SLOW_MPS else 0.0
            bend = 0.0 if np.isnan(bend) else bend
            best, nearest, left_most, right_most = -1, REACH_M, BESIDE_M, BESIDE_M
            for way in (-1, 1):
                other_at = at + way
                while 0 <= other_at < known:
                    other = order[other_at]
                    dx, dy = x[other, step] - x[me, step], y[other, step] - y[me, step]
                    if abs(dx) > REACH_M:
                        break
                    other_at += way
                    if abs(dy) > REACH_M:
                        continue
                    along = dx * cos + dy * sin
                    across = dy * cos - dx * sin
                    if mine >= 0:
                        if abs(along) < left_most and lane_left[mine] >= 0:
                            theirs = lane[other, step]
                            if theirs >= 0 and _lies_along(lane_left[mine], theirs, after, before):
                                left[me, step], left_off[me, step], left_most = other, along, abs(along)
                        if abs(along) < right_most and lane_right[mine] >= 0:
                            theirs = lane[other, step]
                            if theirs >= 0 and _lies_along(lane_right[mine], theirs, after, before):
                                right[me, step], right_off[me, step], right_most = other, along, abs(along)
                        continue
                    turned = np.cos(yaw[other, step] - yaw[me, step])
                    half = (widths[me] + widths[other]) / 2
                    aside = across - bend * along * along / 2
                    blocks = turned > ALONG or abs(speed[other, step]) < SLOW_MPS
                    if blocks and 0 < along < nearest and abs(aside) < half:
                        best, nearest = other, along
                    if turned > ALONG and half <= abs(aside) < half + LANE_M:
                        if aside > 0 and abs(along) < left_most:
                            left[me, step], left_off[me, step], left_most = other, along, abs(along)
                        if aside < 0 and abs(along) < right_most:
                            right[me, step], right_off[me, step], right_most = other, along, abs(along)
            if mine < 0 and best >= 0:
                lead[me, step], gap[me, step] = best, nearest - (lengths[me] + lengths[best]) / 2
                for earlier in range(max(0, step - recent), step):
                    was_beside = left[me, earlier] == best or right[me, earlier] == best
                    if was_beside and lane[me, earlier] < 0:
                        cut_in[me, step] = 1
    return Around(lead, gap, cut_in, left, left_off, right, right_off)


@compiled
def _lies_along(beside: int, theirs: int, after: Indices, before: Indices) -> bool:
    return leads_to(beside, theirs, after, 2) or leads_to(beside, theirs, before, 2)


@compiled
def judged(gap: Numbers, speed: Numbers, lead_speed: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return (V, T) time headway, time to collision and needed deceleration; NaN where infinite or not known."""
    found = np.full((3, gap.shape[0], gap.shape[1]), np.nan)
    for user in range(gap.shape[0]):
        for step in range(gap.shape[1]):
            far, fast, lead = gap[user, step], speed[user, step], lead_speed[user, step]
            for at, told in enumerate((thw(far, fast), ttc(far, fast, lead), drac(far, fast, lead))):
                if np.isfinite(told):
                    found[at, user, step] = told
    return found[0], found[1], found[2]
