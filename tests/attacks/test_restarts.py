"""Attacks that use a moment of weakness: the callout away, the broker killed, a notice that nobody heard."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

from tests.attacks.attacker import Car, sample, until_seen
from tests.attacks.conftest import enrolled
from tests.zone import RunningZone, carcloud, until

GATEWAYS = ("gateway-1", "gateway-2")
MARKER = b"ungoverned-marker-7f3a"


def comes_in(zone: RunningZone, car: Car) -> bool:
    try:
        return Car(zone, car.place).connect() == "Success"
    except OSError:
        return False


def test_a12_callout_away_fails_closed_and_comes_back(victim: RunningZone) -> None:
    inside, outside = Car(victim, enrolled(victim)), Car(victim, enrolled(victim))
    assert inside.connect() == "Success"
    frozen = [victim.children()[name] for name in GATEWAYS]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    assert outside.connect() != "Success"
    outside.stop()
    inside.say(sample(41))
    until_seen(victim, inside.id, 41)  # who was inside stays inside, and goes on
    for pid in frozen:
        os.kill(pid, signal.SIGKILL)
    until(lambda: comes_in(victim, outside), "nobody comes in after the gateways came back", 20)
    inside.stop()


def test_a08_revoked_while_both_gateways_were_dead(victim: RunningZone) -> None:
    own = Car(victim, enrolled(victim))
    assert own.connect() == "Success"
    for name in GATEWAYS:
        victim.kill(name)
    assert carcloud("revoke", own.id, "--data", str(victim.data)).returncode == 0
    assert own.cut.wait(20)
    assert not comes_in(victim, own)


def test_killed_broker_leaves_nothing_ungoverned_on_the_disk(victim: RunningZone) -> None:
    """Cars come back the moment the broker listens again, and at once send what no guard lets through."""
    places = [enrolled(victim) for _ in range(4)]
    over = threading.Event()
    sent = [0] * len(places)

    def insist(at: int) -> None:
        while not over.is_set():
            own = Car(victim, places[at])
            with suppress(OSError):
                if own.connect() == "Success":
                    while not own.cut.is_set() and not over.is_set():
                        own.mqtt.publish(own.up(), MARKER + os.urandom(8), 1, retain=True)
                        sent[at] += 1
                        time.sleep(0.01)
            own.mqtt.loop_stop()
            time.sleep(0.02)

    crowd = [threading.Thread(target=insist, args=(at,)) for at in range(len(places))]
    for member in crowd:
        member.start()
    for _ in range(2):
        before = list(sent)
        until(lambda: all(now > then for now, then in zip(sent, before, strict=True)), "a car stays out", 30)  # noqa: B023
        assert _marked(victim) == []
        victim.kill("nats-server")
        time.sleep(0.3)
    before = list(sent)
    until(lambda: all(now > then + 5 for now, then in zip(sent, before, strict=True)), "a car stays out", 30)
    over.set()
    for member in crowd:
        member.join()
    assert _marked(victim) == []
    own = Car(victim, enrolled(victim))
    until(lambda: own.connect() == "Success", "the zone did not come back", 20)
    own.say(sample(42))
    until_seen(victim, own.id, 42)
    own.stop()


def _marked(zone: RunningZone) -> list[str]:
    """Return the files of the zone in which the marker stands; quarantine keeps it sealed."""
    found = []
    for file in zone.data.rglob("*"):
        with suppress(OSError):  # files come and go under a running zone
            if file.is_file() and MARKER in file.read_bytes():
                found.append(str(file.relative_to(zone.data)))
    return found
