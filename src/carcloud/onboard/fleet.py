"""The cars of a drive: for each its agent, its plans with their collector, and a batcher; and what became of it all.

Rules:
* A recording is held back when a car's queue is full; a live source drops what matters least, and counts it.
* With each flush goes how far the recording was driven, both of what is sent anyway and of what plans gathered.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from carcloud.errors import InputError
from carcloud.onboard.agent import Agent
from carcloud.onboard.collector import Collector, Gathered, with_own_signals
from carcloud.onboard.credentials import Credentials
from carcloud.onboard.orders import Body
from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import Parcel, Place, Queue
from carcloud.onboard.source import Source
from carcloud.onboard.standing import NEVER_US
from carcloud.vehicle.batching import Batcher, Packed
from carcloud.vehicle.catalogue import Signal

Collect = Literal["all", "plans"]
COLLECTS: tuple[Collect, ...] = ("all", "plans")
"""What of a source is sent: everything, or what plans ask for."""


@dataclass(frozen=True)
class Summary:
    """What a drive did so far, over all its vehicles. `refused` is the zone's word, by cause.

    `batches_before` were stored by an earlier drive of the same recording, and not again. `batches_held` are those of
    the waiting ones that plans hold back.
    """

    vehicles: int
    samples_read: int
    samples_acked: int
    samples_waiting: int
    batches_sent: int
    batches_resent: int
    batches_acked: int
    batches_waiting: int
    batches_held: int
    batches_damaged: int
    batches_before: int
    samples_dropped: int
    connected: int
    elapsed_s: float
    skipped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    troubles: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Say whether everything is acknowledged that was to be sent, and is not held back."""
        waiting = self.batches_waiting - self.batches_held
        return not waiting and not self.samples_dropped and not self.batches_damaged


class Fleet:
    """The agents of a drive, with a batcher each."""

    def __init__(
        self,
        source: Source,
        credentials: Mapping[str, Path],
        queues: Path,
        limit_bytes: int,
        body: Callable[[str], Body | None],
        catalogue: Mapping[str, Signal],
        collect: Collect,
    ) -> None:
        names = source.vehicles()
        missing = [name for name in names if name not in credentials]
        if missing:
            do = "Enrol them, or leave --credentials out and give the zone's --data."
            raise InputError(f"There are no credentials for {', '.join(missing[:10])}.", do)
        self.source, self.collect, self._table = source, collect, with_own_signals(source.table)
        self.agents: dict[str, Agent] = {}
        self.batchers: dict[str, Batcher] = {}
        self.plans: dict[str, Plans] = {}
        self.collectors: dict[str, Collector] = {}
        self.started = time.monotonic()
        self.samples_read = 0
        self.shift_us = 0
        self._recording: str | None = None
        self._stored: Counter[str] = Counter()
        self._collected_us: dict[str, int] = {}
        self._skip: Counter[str] = Counter()
        self._before = 0
        try:
            for name in names:
                car = Credentials.read(credentials[name])
                queue = Queue(queues / f"{car.vehicle}.queue", limit_bytes)
                self.plans[name] = Plans(queue, catalogue, (path for path, _ in source.table.signals))
                self.agents[name] = Agent(credentials[name], queue, self._table, body(name), self.plans[name])
        except BaseException:
            self.stop()
            raise

    def start(self, window_us: int, now: bool) -> None:
        """Let the agents begin. A drive shifted to now does not go on where an unshifted one ended, nor the reverse."""
        if self.source.recording is not None:
            kind = " plans" if self.collect == "plans" else ""
            self._recording = f"{self.source.recording} {window_us}{' now' if now else ''}{kind}"
        for name, agent in self.agents.items():
            source = self.source
            self.batchers[name] = Batcher(self._table, source.provenance, source.skipped, window_us)
            for unread in self.plans[name].unread:
                source.skipped[f"plan {unread}: the catalogue does not fit it any more"] += 1
            place = agent.queue.place(self._recording) if self._recording else None
            self._collected_us[name] = place.collected_us if place else NEVER_US
            self.collectors[name] = Collector(
                self.plans[name],
                agent.queue,
                self._table,
                source.provenance,
                source.skipped,
                gather=self.collect == "plans",
                muted_us=self._collected_us[name],
            )
            agent.start()

    def resume(self) -> int | None:
        """Go on where an earlier drive of this recording ended; return its shift of time, or None if there was none."""
        if self._recording is None:
            return None
        places = {name: agent.queue.place(self._recording) for name, agent in self.agents.items()}
        found = {name: place for name, place in places.items() if place is not None}
        self._skip.update({name: place.batches for name, place in found.items()})
        return max((place.shift_us for place in found.values()), default=None)

    def fresh(self, name: str, batches: list[Packed]) -> list[Packed]:
        """Return the batches of a vehicle that no earlier drive of this recording stored."""
        known = min(self._skip[name], len(batches))
        self._skip[name] -= known
        self._before += known
        self._stored[name] += known
        return batches[known:]

    def finish(self) -> None:
        """Note that the recording came to its end."""
        if self._recording is not None:
            for agent in self.agents.values():
                agent.queue.finish(self._recording)

    def store(self, name: str, batches: list[Packed], stop: threading.Event) -> None:
        """Put batches of what no plan asked for into a vehicle's queue."""
        self._append(name, [Parcel(batch.payload, batch.samples) for batch in batches], None, stop)

    def keep(self, name: str, gathered: Gathered, stop: threading.Event) -> None:
        """Put what a vehicle's plans gathered into its queue, with what they have done."""
        self._append(name, gathered.parcels, gathered, stop)

    def _append(self, name: str, parcels: list[Parcel], gathered: Gathered | None, stop: threading.Event) -> None:
        """A full queue holds a recording back; a live source, and what is held back, cost it what matters least."""
        queue, agent = self.agents[name].queue, self.agents[name]
        while queue.full and not self.source.live and queue.batches > queue.held_batches:
            if stop.is_set():
                return
            with agent.moved:
                agent.moved.wait(0.5)
        admitted = queue.admit(parcels) if queue.full or self.source.live else parcels
        if gathered is None:
            self._stored[name] += len(parcels)
        else:
            self._collected_us[name] = gathered.until_us
        place = None
        if self._recording is not None:
            stored = self._stored[name] + self._skip[name]
            place = Place(self._recording, stored, self.shift_us, self._collected_us[name])
        queue.append(admitted, place, gathered.states if gathered else None)
        self.samples_read += sum(parcel.samples for parcel in parcels)

    def summary(self) -> Summary:
        """Return the counts so far."""
        agents = list(self.agents.values())
        counts = [agent.queue.counts for agent in agents]
        return Summary(
            vehicles=len(agents),
            samples_read=self.samples_read,
            samples_acked=sum(count.acked_samples for count in counts),
            samples_waiting=sum(agent.queue.samples for agent in agents),
            batches_sent=sum(agent.sent_batches for agent in agents),
            batches_resent=sum(agent.resent_batches for agent in agents),
            batches_acked=sum(count.acked_batches for count in counts),
            batches_waiting=sum(agent.queue.batches for agent in agents),
            batches_held=sum(agent.queue.held_batches for agent in agents),
            batches_damaged=sum(count.damaged_batches for count in counts),
            batches_before=self._before,
            samples_dropped=sum(count.dropped_samples for count in counts),
            connected=sum(agent.connected for agent in agents),
            elapsed_s=time.monotonic() - self.started,
            skipped=Counter(self.source.skipped),
            refused=sum((agent.refused for agent in agents), Counter()),
            troubles={name: agent.trouble for name, agent in self.agents.items() if agent.trouble},
        )

    def stop(self) -> None:
        """Stop every agent; the queues keep what is not acknowledged."""
        for agent in self.agents.values():
            agent.stop_soon()
        for agent in self.agents.values():
            agent.stop()
