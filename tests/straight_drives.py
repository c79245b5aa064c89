"""Recordings for tests, written by hand: CommonRoad files of cars that drive along a straight road."""

from __future__ import annotations

from collections.abc import Iterator


def drive(cars: int = 2, steps: int = 5, speed: float = 10.0) -> bytes:
    """Return a recording of that many cars and steps of 0.1 s; another speed is another happening."""
    inner = "".join((_lane(), *(_car(car, steps, speed) for car in range(cars))))
    head = 'commonRoadVersion="2020a" benchmarkID="DEU_Test-1_1_T-1" timeStepSize="0.1"'
    return f"<commonRoad {head}>{inner}</commonRoad>".encode()


def _lane() -> str:
    return f'<lanelet id="1"><leftBound>{_edge(2)}</leftBound><rightBound>{_edge(-2)}</rightBound></lanelet>'


def _edge(y: float) -> str:
    return "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x in (-1000, 0, 1000))


def _car(number: int, steps: int, speed: float) -> str:
    shape = "<shape><rectangle><length>4</length><width>2</width></rectangle></shape>"
    states = list(_states(-20.0 * number, steps, speed))
    first = states[0].replace("<state>", "<initialState>").replace("</state>", "</initialState>")
    later = f"<trajectory>{''.join(states[1:])}</trajectory>"
    return f'<dynamicObstacle id="{100 + number}"><type>car</type>{shape}{first}{later}</dynamicObstacle>'


def _states(x: float, steps: int, speed: float) -> Iterator[str]:
    for step in range(steps):
        at = x + speed * step / 10
        yield (
            f"<state><position><point><x>{at:.3f}</x><y>0.0</y></point></position><orientation><exact>0.0</exact>"
            f"</orientation><time><exact>{step}</exact></time><velocity><exact>{speed}</exact></velocity></state>"
        )
