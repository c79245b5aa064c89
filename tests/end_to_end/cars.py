"""Cars whose every sample is known: real agents, in a process of their own, so that it can be killed too.

Rules:
* Batch N of a car holds the values N * 1000 + 0, 1, 2 …; the time follows from the value. So a row of the lake tells
  which batch it came in, and the store tells how many batches there were.
* What `dn/ack` acknowledged is written to a journal before the queue forgets it: the truth the lake is held against.
* A killed process goes on from its queues. On SIGTERM it makes no more, waits until all is acknowledged, and ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

import numpy as np

from carcloud.onboard.agent import Agent
from carcloud.onboard.credentials import Credentials
from carcloud.onboard.queue import Place, Queue
from carcloud.vehicle.batch import Batch, IdTable, Provenance, encode

TABLE = IdTable(
    (("Vehicle.Speed", "km/h"), ("Vehicle.AverageSpeed", "km/h"), ("Vehicle.CurrentLocation.Altitude", "m"))
)
ROWS = 60  # of each signal in a batch
SAMPLES = ROWS * len(TABLE.signals)
VALUES = 1000  # values between two batches
PERIOD_US = 100_000
SOURCE = "numbered"


class JournalQueue(Queue):
    """A queue that writes down every acknowledgement."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._acked, self._made = file.with_suffix(".acked").open("a"), file.with_suffix(".made").open("a")

    def made(self, payload: bytes, place: Place) -> None:
        """Keep a batch, and note that it was made."""
        self.append([(payload, SAMPLES)], place)
        _note(self._made, self.id, place.batches)

    def ack(self, number: int) -> int:
        """Note that all up to the number is acknowledged, then forget it."""
        _note(self._acked, self.id, number)
        return super().ack(number)


def _note(journal: TextIO, queue: int, number: int) -> None:
    journal.write(f"{queue:016x} {number}\n")
    journal.flush()


def batch(number: int, began_us: int) -> bytes:
    """Return the car's batch of this number; its samples lie in the tenth of a second that belongs to it."""
    values = number * VALUES + np.arange(SAMPLES, dtype=np.float64)
    times = np.arange(SAMPLES, dtype=np.int32) * 1000
    signals = np.arange(len(TABLE.signals), dtype=np.uint16)
    counts = np.full(len(TABLE.signals), ROWS, np.uint32)
    base_us = began_us + number * PERIOD_US
    return encode(Batch(TABLE.hash, 1, 1, base_us, signals, counts, times, values, Provenance.SIMULATED))


class Car:
    """One car with its queue and agent."""

    def __init__(self, credentials: Path, queues: Path) -> None:
        self.queue = JournalQueue(queues / f"{Credentials.read(credentials).vehicle}.queue")
        place = self.queue.place(SOURCE)
        self._made = place.batches if place else 0
        self._began_us = place.shift_us if place else time.time_ns() // 1000
        self.agent = Agent(credentials, self.queue, TABLE)

    def make(self) -> None:
        """Put the next batch into the queue."""
        self._made += 1
        self.queue.made(batch(self._made, self._began_us), Place(SOURCE, self._made, self._began_us))


def main(queues: Path, credentials: list[Path]) -> None:
    """Drive until SIGTERM, then until all is acknowledged."""
    finish = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: finish.set())
    cars = [Car(folder, queues) for folder in credentials]
    for car in cars:
        car.agent.start()
    print(f"driving {os.getpid()}", flush=True)
    while not finish.wait(PERIOD_US / 1e6):
        for car in cars:
            car.make()
    while any(car.queue.batches for car in cars):
        time.sleep(0.1)
    for car in cars:
        car.agent.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
