"""A policy compiled against a catalogue: one row a signal, for guards that judge many values at once.

Rules:
* The table is made once and never changes; another policy or catalogue makes another table.
* Purposes are bits, in the order of the file: what a car's person consented to is one number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.safety.governance.policy import Policy, Rule
from carcloud.vehicle.catalogue import Catalogue, Signal

_OPPOSITE = {"Latitude": "Longitude", "Longitude": "Latitude"}
_AS_IT_CAME = Rule((), "", ())


class Table:
    """What the policy says of every signal of the catalogue, by position.

    `kept`, `pseudonym`, `is_latitude`: (signals,) bool. `purposes`: (signals,) uint64, bits.
    `step`: (signals,) float64, 0 where not rounded. `time_us`: (signals,) int64, 0 where times stay.
    `days`: (signals,) int64, how long rows are kept, 0 where until the car is erased.
    `cell`: (signals,) int8, -1 where not by cells; `partner`: (signals,) int32, the longitude of a latitude that goes
    by cells, and the other way round, else -1. `changes`: (signals,) bool, whether rows go on otherwise than they came.
    `lawful`: the bits of the purposes that need no consent. `hash`: the policy's.
    """

    def __init__(self, policy: Policy, catalogue: Catalogue) -> None:
        self.policy, self.hash = policy, policy.hash
        self._bits = {name: 1 << at for at, name in enumerate(policy.purposes)}
        self.lawful = self.bits(name for name, purpose in policy.purposes.items() if not purpose.needs_consent)
        rules = [policy.rule_of(path) for path in catalogue]
        for path, rule in zip(catalogue, rules, strict=True):
            if rule is not None and rule.exactness is not None:
                _refuse_rounding(policy.name, catalogue[path], rule.exactness)
        self.kept = _column([rule is not None and rule.keep for rule in rules], np.bool_)
        self.purposes = _column([self.bits(rule.purposes) if rule else 0 for rule in rules], np.uint64)
        self.step = _column([rule.exactness or 0.0 if rule else 0.0 for rule in rules], np.float64)
        changing = [rule if rule is not None and rule.keep else _AS_IT_CAME for rule in rules]
        self.time_us = _column([rule.time_s * 1_000_000 for rule in changing], np.int64)
        self.pseudonym = _column([rule.pseudonym for rule in changing], np.bool_)
        self.days = _column([rule.days or 0 for rule in changing], np.int64)
        self.cell = _column([-1 if rule.cell is None else rule.cell for rule in changing], np.int8)
        self.partner = _column(_partners(policy.name, catalogue, changing), np.int32)
        self.is_latitude = _column([path.endswith(".Latitude") for path in catalogue], np.bool_)
        self.low, self.high = catalogue.low, catalogue.high
        self.rounds, self.cuts = bool(self.step.any()), bool(self.time_us.any())
        self.expires = bool(self.days.any())
        self.places, self.hides = bool((self.cell >= 0).any()), bool(self.pseudonym.any())
        self.changes = _column(list((self.step > 0) | (self.time_us > 0) | (self.cell >= 0) | self.pseudonym), np.bool_)
        self.asks = bool((self.kept & ((self.purposes & np.uint64(self.lawful)) == 0)).any())

    def bits(self, purposes: Iterable[str]) -> int:
        """Return the bits of these purposes; names the policy does not know have none."""
        found = 0
        for name in purposes:
            found |= self._bits.get(name, 0)
        return found

    def rounded(self, signals: NDArray[np.int32], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values of signals with a step, in the middle of theirs; whole numbers stay whole.

        Args:
            signals: (values,) positions in the catalogue, all with a step. values: (values,).
        """
        step = self.step[signals]
        middle = (np.floor(values / step) + 0.5) * step
        whole = (step == np.rint(step)) & (step % 2 != 0)  # an odd whole step: its middle is not whole
        middle = np.where(whole, np.floor(values / step) * step + (step - 1) / 2, middle)
        within: NDArray[np.float64] = np.clip(middle, self.low[signals], self.high[signals])
        return within


def _partners(policy: str, catalogue: Catalogue, rules: list[Rule]) -> list[int]:
    """Return each signal's partner in a place that goes by cells, -1 where it has none.

    Raises:
        InputError: a rule sets signals to cells that are no latitude and longitude of one thing.
    """
    partners = [-1] * len(rules)
    for at, (path, rule) in enumerate(zip(catalogue, rules, strict=True)):
        if rule.cell is None:
            continue
        prefix, _, name = path.rpartition(".")
        other = f"{prefix}.{_OPPOSITE.get(name, '')}"
        if other not in catalogue or rules[catalogue.index[other]] is not rule or not _measures(catalogue[path]):
            do = "Name Latitude and Longitude of one thing, as numbers with fractions, in one rule, and nothing else."
            raise InputError(f"{policy}: {path} is no half of a place, or its other half is under another rule.", do)
        partners[at] = catalogue.index[other]
    return partners


def _measures(signal: Signal) -> bool:
    return signal.type in ("float", "double")


def _refuse_rounding(policy: str, signal: Signal, step: float) -> None:
    """Raise InputError where a signal's values cannot be rounded to this step."""
    if signal.is_text or signal.type == "boolean":
        do = f"Leave its `exactness` out, or name {signal.path} in a rule of its own above."
        raise InputError(f"{policy}: {signal.path} is no number and cannot be rounded.", do)
    if "int" in signal.type and not step.is_integer():
        do = "Give it a whole `exactness`, in a rule of its own above where needed."
        raise InputError(f"{policy}: {signal.path} has whole numbers only; a step of {step} would break them.", do)


def _column(values: list[Any], dtype: Any) -> NDArray[Any]:
    column = np.array(values, dtype)
    column.setflags(write=False)
    return column
