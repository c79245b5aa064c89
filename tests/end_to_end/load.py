"""A load whose every sample is known, and the count of what became of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from carcloud.onboard.credentials import Credentials
from carcloud.onboard.queue import Queue
from tests.end_to_end.cars import PERIOD_US, SAMPLES, SOURCE, TABLE, VALUES
from tests.zone import ROOT, RunningZone, until

STORED = """
select number, count(*), count(distinct value) from (
    select cast(floor(value / $values) as bigint) as number, value from samples
    where vehicle = $vehicle and epoch_us(time) = $began_us
        + cast(floor(value / $values) as bigint) * $period_us + (cast(value as bigint) % $values) * 1000)
group by number
"""


@dataclass(frozen=True)
class Account:
    """What became of one queue's batches: numbers given, acknowledged, wholly in the lake; samples lost and doubled.

    `strange` rows of the car stand in the lake and were never sent.
    """

    vehicle: str
    queue: str
    sent: int
    acknowledged: int
    stored: int
    lost: int
    doubled: int
    strange: int

    @property
    def whole(self) -> bool:
        """Tell whether all that was sent is acknowledged and stored, once, and nothing else."""
        return self.sent == self.acknowledged == self.stored > 0 == self.lost == self.doubled == self.strange


class Load:
    """Cars in processes of their own: `cars` on each of `processes`. Their queues are on another disk than the zone."""

    def __init__(self, zone: RunningZone, processes: int = 2, cars: int = 3) -> None:
        self.zone, self._queues = zone, Path(tempfile.mkdtemp(prefix="carcloud-load-"))
        self._credentials = [[zone.enrol(f"load-{at}-{car}")[1] for car in range(cars)] for at in range(processes)]
        self._processes = [self._started(at) for at in range(processes)]

    def _started(self, at: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.end_to_end.cars", str(self._queues)]
        with (self._queues / f"cars-{at}.out").open("ab") as output:
            folders = [str(folder) for folder in self._credentials[at]]
            return subprocess.Popen([*command, *folders], cwd=ROOT, stdout=output, stderr=output)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        if error:
            said = "".join(path.read_text()[-2000:] for path in self._queues.glob("*.out"))
            error.add_note(f"acknowledged {self.acknowledged()}, waiting {self.waiting()}; the cars said: {said}")
        shutil.rmtree(self._queues)

    def kill(self, at: int) -> None:
        """End one of the processes with SIGKILL and start it again on its queues."""
        self._processes[at].kill()
        self._processes[at].wait()
        self._processes[at] = self._started(at)

    def acknowledged(self) -> int:
        """Return how many batches the zone has acknowledged so far, by the cars' own journals."""
        return sum(_last(journal)[1] for journal in self._queues.glob("*.acked"))

    def flow(self, batches: int = 0, patience_s: float = 120.0) -> None:
        """Wait until more than so many batches are acknowledged; fail at once where the cars have ended."""

        def flows() -> bool:
            assert all(process.poll() is None for process in self._processes), "cars have ended"
            return self.acknowledged() > batches

        until(flows, f"not {batches} batches are acknowledged", patience_s)

    def waiting(self) -> int:
        """Return how many batches the cars made and the zone has not acknowledged yet."""
        return sum(_last(journal)[1] for journal in self._queues.glob("*.made")) - self.acknowledged()

    def finish(self, patience_s: float = 150.0) -> None:
        """Make no more, and wait until the cars say that all is acknowledged."""
        for at, process in enumerate(self._processes):
            said, driving = self._queues / f"cars-{at}.out", f"driving {process.pid}\n"
            until(lambda said=said, driving=driving: driving in said.read_text(), f"no car drives: {said}")
            process.terminate()
        for process in self._processes:
            until(lambda ended=process: ended.poll() is not None, "the cars still wait for acks", patience_s)
            assert process.returncode == 0, [path.read_text() for path in self._queues.glob("*.out")]

    def accounts(self) -> list[Account]:
        """Hold the lake against the journals, once it has taken all chunks."""
        until(self.zone.lake_is_level, "the lake does not take the chunks that are there")
        return [self._account(Credentials.read(folder).vehicle) for group in self._credentials for folder in group]

    def _account(self, vehicle: str) -> Account:
        queue = Queue(self._queues / f"{vehicle}.queue")
        try:
            place, name, sent = queue.place(SOURCE), f"{queue.id:016x}", queue.numbered
        finally:
            queue.close()
        assert place is not None
        journal_queue, acknowledged = _last(self._queues / f"{vehicle}.acked")
        assert journal_queue == name
        known = {"values": VALUES, "vehicle": vehicle, "began_us": place.shift_us, "period_us": PERIOD_US}
        rows = {number: (count, distinct) for number, count, distinct in self.zone.sql(STORED, **known)}
        total = self.zone.sql("select count(*) from samples where vehicle = $vehicle", vehicle=vehicle)[0][0]
        own = {number: counts for number, counts in rows.items() if 1 <= number <= place.batches}
        distinct = {number: counts[1] for number, counts in own.items()}
        return Account(
            vehicle,
            name,
            sent,
            acknowledged,
            stored=sum(count == SAMPLES for count in distinct.values()),
            lost=sum(SAMPLES - distinct.get(number, 0) for number in range(1, acknowledged + 1)),
            doubled=sum(count - different for count, different in own.values()),
            strange=total - sum(count for count, _ in own.values()),
        )

    def stale_twins(self, patience_s: float = 20.0) -> list[str]:
        """Return the cars whose last values in the twin are not the last samples they sent, after some patience."""
        deadline = time.monotonic() + patience_s
        while (stale := self._stale_twins()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return stale

    def _stale_twins(self) -> list[str]:
        stale = []
        for vehicle in (Credentials.read(folder).vehicle for group in self._credentials for folder in group):
            number = _last(self._queues / f"{vehicle}.acked")[1]
            signals = self.zone.get(f"/v1/vehicles/{vehicle}/signals")["signals"]
            wanted = [
                number * VALUES + (at + 1) * SAMPLES // len(TABLE.signals) - 1 for at in range(len(TABLE.signals))
            ]
            if [signals[path]["value"] for path, _ in TABLE.signals] != wanted:
                stale.append(vehicle)
        return stale


def _last(journal: Path) -> tuple[str, int]:
    """Return (queue, highest acknowledged number) of a journal; the line a kill cut short does not count."""
    lines = journal.read_text().split("\n")[:-1]
    queue, _, number = lines[-1].partition(" ") if lines else ("", "", "0")
    return queue, int(number)
