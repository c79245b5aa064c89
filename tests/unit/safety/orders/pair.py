"""An order signer and a car's side of orders, face to face: no network between them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.errors import InputError
from carcloud.onboard.journal import Journal
from carcloud.onboard.orders import Orders
from carcloud.onboard.plans import Plans
from carcloud.safety.identity import Authority
from carcloud.safety.orders.authorisation import Signature, draft, sign
from carcloud.safety.orders.keys import OrderKeys, certify
from carcloud.safety.orders.ledger import Ledger
from carcloud.safety.orders.people import People
from carcloud.safety.orders.signer import OrderSigner
from carcloud.vehicle.commands import CarState, Parameters
from carcloud.vehicle.order import SignedOrder

START = float(int(time.time()))
"""The certificates of a test hold from now on."""


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Body:
    """A car's body that writes down what it was made to do."""

    said: CarState = field(default_factory=lambda: CarState(speed_kmh=0.0, plugged=True, charge_pct=80.0))
    done: list[tuple[str, Parameters]] = field(default_factory=list)
    broken: bool = False

    def state(self) -> CarState:
        return self.said

    def carry_out(self, command: str, parameters: Parameters) -> None:
        if self.broken:
            raise InputError("It does not move.")
        self.done.append((command, dict(parameters)))


class Pair:
    """A tenant's order signer, registered people, and cars. All share one clock."""

    def __init__(self, folder: Path, clock: Clock, tenant: str = "default", authority: Authority | None = None) -> None:
        self.folder, self.clock, self.tenant = folder, clock, tenant
        self.authority = authority or Authority(folder / "keys")
        certify(folder / "orders", self.authority, tenant)
        self.people = People(folder / "orders", clock)
        self.signer = self.new_signer()
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}

    def new_signer(self) -> OrderSigner:
        """Start the order signer, again."""
        keys = OrderKeys(self.folder / "orders", lambda: datetime.fromtimestamp(self.clock(), UTC))
        ledger = Ledger(self.folder / "orders" / "ledger.sqlite")
        return OrderSigner(keys, People(self.folder / "orders", self.clock), ledger, self.clock, self.clock)

    def person(self, name: str, *roles: str, vehicles: tuple[str, ...] = ()) -> ec.EllipticCurvePrivateKey:
        """Register a person with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.people.add(name, key.public_key(), roles, vehicles, "given")
        self.keys[name] = key
        return key

    def car(self, vehicle: str, body: Body | None, plans: Plans | None = None) -> Orders:
        """Enrol a car, or start it anew."""
        place = self.folder / "cars" / vehicle
        if not place.exists():
            place.mkdir(parents=True)
            given = self.authority.issue_vehicle(vehicle, self.tenant)
            (place / "vehicle.pem").write_bytes(given.chain)
            (place / "vehicle.key").write_bytes(given.key)
            (place / "vehicle.key").chmod(0o600)
            (place / "ca.pem").write_bytes(self.authority.server_trust.read_bytes())
            card = {"id": vehicle, "tenant": self.tenant, "mqtt": {"host": "localhost", "port": 1}}
            (place / "vehicle.json").write_text(json.dumps(card))
        return Orders(place, Journal(place / "journal"), body, self.clock, self.clock, plans)

    def authorise(
        self,
        name: str,
        command: str,
        *vehicles: str,
        role: str = "fleet",
        lasts_s: int = 600,
        **parameters: float | str,
    ) -> tuple[bytes, list[Signature]]:
        """Sign an authorisation as a person."""
        now = int(self.clock())
        text = draft(self.tenant, vehicles, command, parameters, role, now, now + lasts_s)
        return text, [sign(self.keys[name], text)]

    def sign(self, name: str, text: bytes) -> Signature:
        """Sign an authorisation as one person more."""
        return sign(self.keys[name], text)

    def handshake(self, vehicle: str, car: Orders, domain: int, role: str = "fleet") -> None:
        """Open a session."""
        (answer,) = car.hear(self.signer.begin(vehicle, domain, role))
        self.signer.open(vehicle, answer)

    def signed(self, vehicle: str, text: bytes, signatures: list[Signature]) -> SignedOrder:
        """Have an order signed, in an open session."""
        made = self.signer.sign(vehicle, text, signatures)
        assert isinstance(made, SignedOrder), made
        return made

    def tell(self, vehicle: str, car: Orders, message: bytes) -> list[tuple[str, str | None]]:
        """Give a car a message; return what it says that the signer believes."""
        said = [self.signer.result(vehicle, answer) for answer in car.hear(message)]
        return [(one.state, one.reason) for one in said]
