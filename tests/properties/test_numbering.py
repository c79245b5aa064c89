"""Numbering: whatever is lost, repeated or reordered, whenever the governor starts again, a batch counts once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.stream.chunk import RawPosition, Record
from carcloud.stream.intake import Intake
from carcloud.stream.marks import Marks
from carcloud.stream.settings import FloodLimits
from tests.stream import CAR, CATALOGUE, NOW_US, OTHER, TABLE, batch, hello, up

QUEUES = ((CAR, 1), (CAR, 2), (OTHER, 1))


class Governed:
    """Chunks that stand, and an intake that a crash throws away."""

    def __init__(self) -> None:
        self.chunks: list[tuple[Record, list[tuple[str, int, int]]]] = []
        self.snapshot, self.position = Marks().dump(), 0
        self.tables = {TABLE.hash: TABLE}
        self.restart()

    def restart(self) -> None:
        marks = Marks.load(self.snapshot)
        for record, _ in self.chunks[self.position :]:
            for vehicle, queue, number in record.marks:
                marks.advance(vehicle, int(queue, 16), number)
        self.intake = Intake(CATALOGUE, marks, dict(self.tables), lambda _: "default", FloodLimits())

    def close(self) -> dict[tuple[str, int], int]:
        """Make the chunk durable and return the acks."""
        intake = self.intake
        if intake.needs_chunk:
            marks = [(vehicle, f"{queue:016x}", number) for (vehicle, queue), number in intake.moved.items()]
            kept = [(arrival.origin.vehicle, arrival.queue, arrival.number) for arrival in intake.arrivals]
            number = len(self.chunks) + 1
            self.chunks.append((Record(number, 0, NOW_US, RawPosition(), marks=marks), kept))
        acks = {(who.vehicle, queue): intake.marks.mark(who.vehicle, queue) for who, queue in intake.answers}
        intake.clear()
        return acks

    def save(self) -> None:
        if not self.intake.needs_chunk:
            self.snapshot, self.position = self.intake.marks.dump(), len(self.chunks)

    def stored(self) -> list[tuple[str, int, int]]:
        return [kept for _, chunk in self.chunks for kept in chunk]


class Car:
    """Sends from the batch after the last ack, as the wire asks of an agent."""

    def __init__(self, vehicle: str, queue: int, batches: int) -> None:
        self.vehicle, self.queue, self.batches, self.acked = vehicle, queue, batches, 0

    def message(self, ahead: int) -> bytes | None:
        number = self.acked + 1 + ahead
        if number > self.batches:
            return None
        payload = batch([("Vehicle.Speed", NOW_US + number, 1.0)], self.queue, number)
        return payload[:-1] if number % 5 == 0 else payload


ACTIONS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 2), st.integers(-3, 5), st.sampled_from(["arrives", "twice", "lost"])),
    st.tuples(st.just("hello"), st.integers(0, 2)),
    st.tuples(st.just("close"), st.booleans()),
    st.tuples(st.just("restart")),
    st.tuples(st.just("save")),
)


@settings(max_examples=120)
@given(st.lists(ACTIONS, max_size=40), st.integers(1, 9))
def test_every_batch_is_stored_exactly_once_and_the_ack_is_the_highest_contiguous_number(actions, batches):
    governed, cars = Governed(), [Car(*queue, batches) for queue in QUEUES]

    def learn(acks):
        stored = governed.stored()
        for car in cars:
            if (mark := acks.get((car.vehicle, car.queue))) is not None:
                numbers = {number for vehicle, queue, number in stored if (vehicle, queue) == (car.vehicle, car.queue)}
                assert {number for number in range(1, mark + 1) if number % 5} <= numbers  # the fifth is broken
                assert mark >= car.acked
                car.acked = mark

    for action, *about in actions:
        if action == "send":
            car, ahead, fate = cars[about[0]], about[1], about[2]
            payload = car.message(max(ahead, -car.acked))
            for _ in range({"arrives": 1, "twice": 2, "lost": 0}[fate] if payload else 0):
                governed.intake.take(up(car.vehicle), payload, NOW_US)
        elif action == "hello":
            car = cars[about[0]]
            governed.intake.take(up(car.vehicle, "event"), hello(car.queue), NOW_US)
        elif action == "close":
            acks = governed.close()
            learn(acks if about[0] else {})  # an ack may be lost
        else:
            getattr(governed, action)()
    for _ in range(batches + 1):
        for car in cars:
            governed.intake.take(up(car.vehicle, "event"), hello(car.queue), NOW_US)
            if payload := car.message(0):
                governed.intake.take(up(car.vehicle), payload, NOW_US)
        learn(governed.close())
    assert [car.acked for car in cars] == [batches] * 3
    whole = [number for number in range(1, batches + 1) if number % 5]
    assert sorted(governed.stored()) == sorted((*queue, number) for queue in QUEUES for number in whole)
    assert governed.intake.waiting == 0
