"""Conditions: what a text says and which signals it asks about, or where it goes wrong."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.vehicle.conditions.condition import ConditionError
from carcloud.vehicle.conditions.text import LIMIT_TEXT, parse


class ConditionText(BaseModel):
    """A condition as it is written."""

    text: str = Field(max_length=4 * LIMIT_TEXT, examples=["Vehicle.Speed > 130 km/h for at least 5 s"])


class AskedSignal(BaseModel):
    """A signal that a condition asks about, and its unit."""

    path: str
    unit: str | None


class Mistake(BaseModel):
    """What is wrong and what to do about it; `at` and `length`: where in the text, in characters."""

    message: str
    do: str
    at: int
    length: int


class ConditionCheck(BaseModel):
    """Whether a text is a condition. `timeless`: the values of one moment decide it, so that the twin can be asked."""

    ok: bool
    signals: list[AskedSignal]
    timeless: bool
    error: Mistake | None


routes = APIRouter(tags=["conditions"], responses=RESPONSES)


@routes.post("/v1/conditions/check")
def check(
    asked: ConditionText, ports: Wired, caller: Annotated[Caller, Depends(allowed("readCatalogue"))]
) -> ConditionCheck:
    """Check a condition against the catalogue; nothing is kept."""
    catalogue = ports.catalogue(caller.tenant)
    try:
        condition = parse(asked.text, catalogue)
    except ConditionError as error:
        mistake = Mistake(message=error.message, do=error.do, at=error.at, length=error.length)
        return ConditionCheck(ok=False, signals=[], timeless=False, error=mistake)
    signals = [AskedSignal(path=path, unit=catalogue[path].unit) for path in condition.paths]
    return ConditionCheck(ok=True, signals=signals, timeless=condition.is_timeless, error=None)
