"""The agent: empties a car's queue into its zone, over as many connections as it takes, and hears orders."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

from carcloud.errors import CarcloudError
from carcloud.onboard.certificate import Renewal
from carcloud.onboard.credentials import Credentials
from carcloud.onboard.journal import Journal
from carcloud.onboard.link import Ack, Link
from carcloud.onboard.orders import Body, Orders
from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import Queue
from carcloud.onboard.window import Window
from carcloud.vehicle.batch import IdTable

AGENT = "carcloud-onboard/1"
POLL_S = 0.1
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 60.0
GREETING_GAP_S = 1.0
FORGOTTEN_S = 10.0
BARRED_GAP_S = 60.0
BARRED = "not_enrolled"
"""The zone takes nothing from this car, for it is in quarantine: what is in the queue waits for its release."""


def backoff_s(attempt: int, chance: float) -> float:
    """Return how long to wait before an attempt to connect: full jitter, the first soon, later ones up to 60 s.

    Args:
        attempt: 0 for the first since the zone last acknowledged something.
        chance: a random number from 0 to 1.
    """
    return chance * (FIRST_WAIT_S if attempt == 0 else min(LONGEST_WAIT_S, 2.0 ** (attempt - 1)))


class Agent:
    """Sends what is in a queue, in a thread of its own, until it is stopped."""

    def __init__(
        self,
        credentials: Path,
        queue: Queue,
        table: IdTable,
        body: Body | None = None,
        plans: Plans | None = None,
    ) -> None:
        self.queue = queue
        self.refused: Counter[str] = Counter()
        self.sent_batches = 0
        self.connections = 0
        self.connected = False
        self.trouble: str | None = None
        self._folder = credentials
        self._window = Window(queue.in_flight())
        self._attempt = 0
        self._greeted_at = 0.0
        self._forgotten_at: float | None = None
        self._barred = False
        self.renewal = Renewal()
        self._orders = Orders(credentials, Journal(queue.file.with_suffix(".orders")), body, plans=plans)
        self._plans = plans
        self._stop = threading.Event()
        self.moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"agent {credentials.name}", daemon=True)
        queue.know_table(table.hash, table.canonical())

    @property
    def resent_batches(self) -> int:
        """Return how many batches were sent more than once."""
        return self._window.resent

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop_soon(self) -> None:
        """Ask the thread to end, without waiting for it."""
        self._stop.set()

    def stop(self) -> None:
        """Stop sending and close the queue; what is in it stays."""
        self.stop_soon()
        if self._thread.is_alive():
            self._thread.join()
        self.queue.close()
        self._orders.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                credentials = Credentials.read(self._folder)  # anew: certificate and address may have changed
                self.renewal.look(credentials)
                self._live(Link(credentials), credentials)
            except CarcloudError as error:
                self.trouble = str(error)
            self.connected = False
            self._window.disconnected()
            self._stop.wait(backoff_s(self._attempt, random.random()))  # noqa: S311 (jitter, not secrecy)
            self._attempt += 1

    def _live(self, link: Link, credentials: Credentials) -> None:
        self.connected, self.trouble, self._barred = True, None, False
        self.connections += 1
        self._window.connected(time.monotonic())
        try:
            self._greet(link)
            while link.lost is None and not self._stop.is_set():
                self._send(link)
                for ack in link.poll(POLL_S):
                    self._hear(link, ack)
                for document in link.documents():  # before the orders that name them
                    if self._plans is not None:
                        self._plans.hear(document)
                for message in link.orders():
                    for answer in self._orders.hear(message):
                        link.answer(answer)
                asking = self._barred and time.monotonic() - self._greeted_at > BARRED_GAP_S
                if self._window.stalled(time.monotonic()) or asking:
                    self._greet(link)
                if self.renewal.poll(credentials):
                    self._attempt = -1
                    break  # and come back with the new certificate
            self.trouble = link.lost
        finally:
            link.close()

    def _greet(self, link: Link) -> None:
        self._greeted_at = time.monotonic()
        for table in self.queue.tables().values():
            link.hello(self.queue.id, self.queue.acked, table, AGENT)

    def _send(self, link: Link) -> None:
        if self._barred:
            return
        count, size_bytes = self._window.room
        if count and size_bytes and self.queue.batches > len(self._window):
            self._window.add(self.queue.number(count, size_bytes))
        for batch in self._window.due(time.monotonic()):
            link.send(batch.payload)
            self.sent_batches += 1

    def _hear(self, link: Link, ack: Ack) -> None:
        self.refused.update(ack.refused)
        self._barred = BARRED in ack.refused
        if ack.queue != self.queue.id:
            return
        self._forgotten(link, ack)
        if self._window.acknowledge(ack.number, time.monotonic()):
            self.queue.ack(ack.number)
            self._attempt = 0
            with self.moved:
                self.moved.notify_all()
        if ack.want is not None and time.monotonic() - self._greeted_at > GREETING_GAP_S:
            self._greet(link)

    def _forgotten(self, link: Link, ack: Ack) -> None:
        """Begin a new queue where the zone insists that it never had what it acknowledged: it was restored or wiped."""
        now = time.monotonic()
        if ack.number >= self.queue.acked:
            self._forgotten_at = None
        elif self._forgotten_at is None:
            self._forgotten_at = now
        elif now - self._forgotten_at >= FORGOTTEN_S:
            self._forgotten_at = None
            self.queue.renew()
            self._window = Window(())
            self._window.connected(now)
            self._greet(link)
