"""Others' names of key figures, and which of ours answer them.

Source: TAD Sim (Tencent, Apache-2.0), its catalogue of grading indicators; names only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml


@dataclass(frozen=True)
class Figures:
    """A catalogue.

    Args:
        answered: the name of the summary's value, by that of the figure.
        unanswered: why none of ours answers it, by the figure's name.
    """

    answered: dict[str, str]
    unanswered: dict[str, str]


@cache
def tad_sim() -> Figures:
    """Return TAD Sim's catalogue."""
    said = yaml.safe_load(files("carcloud.research.metrics").joinpath("kpi.yaml").read_bytes())
    return Figures(said["answered"], {name: why for why, names in said["unanswered"].items() for name in names})
