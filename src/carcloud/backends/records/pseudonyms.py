"""The pseudonyms of cars: which random name stands for which car in which epoch.

Rules:
* A name is on disk before a row bears it, so a crash leaves at most a name that nothing bears yet, used the next time.
* The name lies sealed beside the car's id: whoever has the database and not the key cannot tell whose rows are whose.
* A car that is being erased gets no link any more; the name goes into the erasure's ledger, and its rows go too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Column, Connection, String, Table, select

from carcloud.backends.records.database import Database, Sealed, metadata
from carcloud.backends.records.erasures import ERASING_LOCK, erasure_names, erasures
from carcloud.vehicle.pseudonym import new_pseudonym

CARS_A_QUESTION = 1000

pseudonyms = Table(
    "pseudonyms",
    metadata,
    Column("vehicle", String(64), primary_key=True),
    Column("epoch", String(16), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", Sealed, nullable=False, unique=True),
)


class Pseudonyms:
    """The pseudonyms of a zone's cars."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, tenants: dict[str, str], epoch: str) -> dict[str, str]:
        """Return the names of cars in an epoch, made where there are none yet: vehicle → name.

        Args:
            tenants: vehicle → its tenant.
        """
        cars, found = list(tenants), dict[str, str]()
        for first in range(0, len(cars), CARS_A_QUESTION):
            found |= self._of({car: tenants[car] for car in cars[first : first + CARS_A_QUESTION]}, epoch)
        return found

    def names(self, vehicle: str) -> list[str]:
        """Return all names of a car, in the order of their epochs."""
        mine = select(pseudonyms.c.name).where(pseudonyms.c.vehicle == vehicle).order_by(pseudonyms.c.epoch)
        return [row.name for row in self._database.rows(mine)]

    def cars(self, tenant: str) -> dict[str, str]:
        """Return whose all names of a tenant are: name → vehicle."""
        of = select(pseudonyms.c.name, pseudonyms.c.vehicle).where(pseudonyms.c.tenant == tenant)
        return {row.name: row.vehicle for row in self._database.rows(of)}

    def _of(self, tenants: dict[str, str], epoch: str) -> dict[str, str]:
        known = self._known(tenants, epoch)
        if missing := [car for car in tenants if car not in known]:
            with self._database.transaction(writing=True) as db:
                self._database.alone(db, ERASING_LOCK)  # an erasure sees the link, or the link sees the erasure
                ended = _erasures(db, missing)
                for car in missing:
                    if car in ended:
                        known[car] = _noted(db, ended[car])
                made = [
                    {"vehicle": car, "epoch": epoch, "tenant": tenants[car], "name": new_pseudonym()}
                    for car in missing
                    if car not in ended
                ]
                if made:  # another governor may have been faster: its name stands
                    db.execute(self._database.insert(pseudonyms).on_conflict_do_nothing(), made)
            known |= self._known([row["vehicle"] for row in made], epoch)
        return known

    def _known(self, cars: Iterable[str], epoch: str) -> dict[str, str]:
        wanted = select(pseudonyms.c.vehicle, pseudonyms.c.name).where(
            pseudonyms.c.epoch == epoch, pseudonyms.c.vehicle.in_(list(cars))
        )
        return {row.vehicle: row.name for row in self._database.rows(wanted)}


def _erasures(db: Connection, cars: Collection[str]) -> dict[str, str]:
    """Return the erasures of those of the cars that have one: vehicle → erasure."""
    found = db.execute(select(erasures.c.vehicle, erasures.c.id).where(erasures.c.vehicle.in_(list(cars))))
    return {row.vehicle: row.id for row in found}


def _noted(db: Connection, erasure: str) -> str:
    """Return a new name that goes into the ledger of an erasure, for rows that are to go."""
    name = new_pseudonym()
    db.execute(erasure_names.insert().values(erasure=erasure, name=name))
    return name
