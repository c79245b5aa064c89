"""What a logged-in car says is taken: reports into the stream, keys for its session, an activation into the records.

Rules:
* A report is answered once it is durable, or with what is wrong with it. What it says that can be read is kept.
* What is wrong is returned as its cause, and answered by whoever has the connection.
* A terminal that has activated speaks 2025 only: the older edition has no signature, so anybody could speak so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from carcloud.gateway.gbt32960.admission import Admission
from carcloud.gateway.gbt32960.car import Car
from carcloud.gateway.gbt32960.checks import LIMIT_LOGIN_BYTES, Checks, is_dear
from carcloud.gateway.gbt32960.columns import samples_of
from carcloud.gateway.gbt32960.delivery import Delivery
from carcloud.gateway.gbt32960.numbers import DIGEST_BYTES
from carcloud.gateway.gbt32960.proofs import CHIP_USED, DONE, FINE, NOT_DONE, is_proven, key_of, opened, proof_of
from carcloud.gateway.gbt32960.session import answer, code_of
from carcloud.gateway.gbt32960.settings import Gbt32960Settings
from carcloud.vehicle.gbt32960.forms import Activation, ActivationAnswer, KeyExchange, Message, Report
from carcloud.vehicle.gbt32960.frames import AnswerCode, Cause, Command, Edition, Fault, Frame
from carcloud.vehicle.gbt32960.frames import encode as encode_frame
from carcloud.vehicle.gbt32960.mapping import samples
from carcloud.vehicle.gbt32960.messages import read
from carcloud.vehicle.gbt32960.sealing import Keys
from carcloud.vehicle.gbt32960.writing import write

OLD_EDITION = "old_edition"
Send = Callable[[bytes], None]


class Taking:
    """Takes the frames of logged-in cars. `keys` open what is sealed for the door."""

    def __init__(self, settings: Gbt32960Settings, admission: Admission, delivery: Delivery, keys: Keys) -> None:
        self.keys = keys
        self._settings, self._admission, self._delivery = settings, admission, delivery
        self.checks, self.frames = Checks(), 0

    def report(self, car: Car, frame: Frame, send: Send) -> str | None:
        """Take a report in, to be answered when it is durable; return what is wrong with it."""
        return self._keep(car, self._proven(car, frame), send)

    async def dear(self, car: Car, frame: Frame, send: Send) -> str | None:
        """Take what is dear to check, beside the loop. Raise TryLaterError where too much waits."""
        if frame.command == Command.ACTIVATION:
            return await self._activation(car, frame, send)
        if frame.command == Command.KEY_EXCHANGE:
            return await self._key(car, frame, send)
        proven = await self.checks.do(lambda: self._proven(car, frame))
        return None if car.gone else self._keep(car, proven, send)

    async def login(self, frame: Frame) -> Message | Fault:
        """Return what a login says, or why it cannot be read. Raise TryLaterError where too much waits."""
        if not is_dear(frame, None):
            return said(frame, self.keys)
        if len(frame.payload) > LIMIT_LOGIN_BYTES:
            return Fault(Cause.TOO_LARGE, f"a sealed login has at most {LIMIT_LOGIN_BYTES} bytes")
        return await self.checks.do(lambda: said(frame, self.keys))

    def _proven(self, car: Car, frame: Frame) -> tuple[Frame, Report] | str:
        """Return a report opened, read and verified, or what is wrong with it. Changes nothing, so any thread may."""
        clear = opened(frame, car.keys)
        message = clear if isinstance(clear, Fault) else read(clear)
        if isinstance(clear, Fault) or not isinstance(message, Report):
            return cause_of(message)
        if clear.edition is Edition.E2016 and car.activated:
            return OLD_EDITION
        if not is_proven(message, clear.edition, car.key, wanted=self._settings.signatures):
            return Cause.SIGNATURE
        return clear, message

    def _keep(self, car: Car, proven: tuple[Frame, Report] | str, send: Send) -> str | None:
        """Bring a report into the stream; return what is wrong with it."""
        if isinstance(proven, str):
            return proven
        clear, message = proven
        code, found = AnswerCode.OK, samples(message, clear.edition)
        if message.fault is not None:
            car.count(message.fault.cause)
            code = code_of(message.fault.cause, clear.edition)
        if found.left:
            car.count("no_signal", sum(found.left.values()))
        told = answer(clear, code)

        def done(durable: bool) -> None:
            if durable:
                self.frames += 1
                send(told)

        digest = hashlib.blake2b(message.signed or clear.payload, digest_size=DIGEST_BYTES).digest()
        if not self._delivery.take(car.lane, digest, samples_of(found.time_us, found.rows), done):
            car.count("no_room")
        return None

    async def _key(self, car: Car, frame: Frame, send: Send) -> str | None:
        """Take the key that a car will seal its payloads with; return what is wrong with it."""
        message = read(frame)
        if not isinstance(message, KeyExchange) or len(message.key) > LIMIT_LOGIN_BYTES:
            return cause_of(message)
        keys = await self.checks.do(lambda: car.keys.taking(message))
        if not isinstance(keys, Keys):
            return cause_of(keys)
        car.keys = keys
        send(answer(frame, AnswerCode.OK, b""))
        return None

    async def _activation(self, car: Car, frame: Frame, send: Send) -> str | None:
        """Take a terminal's chip and key, the first time, and answer whether they are its own."""
        message = await self.login(frame)
        if not isinstance(message, Activation):
            return cause_of(message)
        proof = await self.checks.do(lambda: proof_of(message, car.vin))
        if proof is None:
            return Cause.SIGNATURE
        taken = await self._admission.activate(car.terminal.vehicle, proof)
        if taken:
            car.key = key_of(proof.kept)
        else:
            car.count("other_chip")
        told = ActivationAnswer(car.vin, DONE if taken else NOT_DONE, FINE if taken else CHIP_USED)
        send(encode_frame(write(told, frame.edition)))
        return None


def said(frame: Frame, keys: Keys) -> Message | Fault:
    """Return what a frame says, opened by these keys, or why it cannot be read."""
    clear = opened(frame, keys)
    return clear if isinstance(clear, Fault) else read(clear)


def cause_of(message: object) -> str:
    """Return why something is not what it should be."""
    return str(message.cause) if isinstance(message, Fault) else str(Cause.STRUCTURE)
