"""How long after the answer to a withdrawal a car's samples are still kept: `python bench/withdrawal.py [REPETITIONS]`.

A car says a numbered value 50 times a second, of a signal that only consent makes lawful. The consent is withdrawn over
HTTP; when the stream is still, the lake tells which values were kept. Printed are the median and the worst of the time
from the answer to the last value that was sent and kept (0 where none was), and to the first that was dropped.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.attacks.attacker import Car
from tests.zone import RunningZone, running_zone, until

PEDAL, SPEED = "Vehicle.Chassis.Accelerator.PedalPosition", "Vehicle.Speed"
LAW = f"""
name: withdrawal
purposes: {{run: {{basis: contract, why: x}}, research: {{basis: consent, why: x}}}}
rules:
  - {{paths: [{SPEED}], class: operational, purposes: [run]}}
  - {{paths: [{PEDAL}], class: personal, purposes: [research]}}
"""
PAUSE_S, BEFORE_S, AFTER_S = 0.02, 1.0, 1.5


def main(repetitions: int) -> None:
    """Measure on one zone, whose governance keeps one signal by consent and one without."""
    with tempfile.TemporaryDirectory() as folder:
        law = Path(folder) / "law.yaml"
        law.write_text(LAW)
        with running_zone(Path(folder) / "data", config=f'governance = "{law}"\n') as zone:
            found = [measured(zone, number) for number in range(repetitions)]
    for at, name in enumerate(("last kept", "first dropped")):
        times = [one[at] * 1000 for one in found]
        print(f"{name}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms, {repetitions} times")


def measured(zone: RunningZone, number: int) -> tuple[float, float]:
    """Return the times in seconds, from the withdrawal's answer, of the last value kept and the first dropped."""
    enrolled, place = zone.enrol(f"withdrawing-{number}")
    car, grants = Car(zone, place), f"/v1/vehicles/{enrolled.vehicle.id}/grants"
    assert car.connect() == "Success"
    given = zone.client.post(grants, json={"grantee": "zone", "purpose": "research"}).json()
    sent: list[float] = []
    over = threading.Event()

    def drive() -> None:
        while not over.is_set():
            at = int(time.time() * 1e6)
            values = ((PEDAL, len(sent) % 101), (SPEED, len(sent)))
            sent.append(time.monotonic())
            samples = [{"signal": path, "value": value, "time": at} for path, value in values]
            car.say(json.dumps({"samples": samples}).encode())
            time.sleep(PAUSE_S)

    driving = threading.Thread(target=drive)
    driving.start()
    time.sleep(BEFORE_S)
    assert zone.client.delete(f"{grants}/{given['id']}").status_code == 200
    answered = time.monotonic()
    time.sleep(AFTER_S)
    over.set()
    driving.join()
    car_id = enrolled.vehicle.id
    count = "SELECT count(*) FROM samples WHERE vehicle = $v AND signal = $s"
    until(lambda: zone.sql(count, v=car_id, s=SPEED)[0][0] == len(sent), "the rest did not pass")
    kept = int(zone.sql(count, v=car_id, s=PEDAL)[0][0])
    car.stop()
    assert 0 < kept < len(sent), (kept, len(sent))
    return max(sent[kept - 1] - answered, 0.0), max(sent[kept] - answered, 0.0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
