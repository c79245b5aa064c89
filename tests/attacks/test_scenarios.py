"""What a scenario file of a stranger can make its reader do: play it, or refuse it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from carcloud.errors import InputError
from carcloud.research.adapters.openscenario.reader import instantiate
from tests.unit.research.openscenario import written as w

SECRET = "the secret of another folder"


@pytest.mark.parametrize(
    "way", ["../secret.xodr", "/{0}/secret.xodr", "..\\secret.xodr", "a/../../secret.xodr", "link.xodr"]
)
def test_road_file_outside_the_scenarios_folder_is_not_read(tmp_path: Path, way: str) -> None:
    (tmp_path / "secret.xodr").write_text(SECRET)
    folder = tmp_path / "scenario"
    folder.mkdir()
    (folder / "link.xodr").symlink_to(tmp_path / "secret.xodr")
    text = w.document([w.car("A")], [w.placed("A", w.at(-1, 0), 1)], road=way.format(tmp_path))
    with pytest.raises(InputError) as refused:
        w.play(folder, text)
    assert "not in its folder" in refused.value.message
    assert SECRET not in str(refused.value)


def test_catalog_outside_the_scenarios_folder_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "scenario"
    folder.mkdir()
    entry = w.car("A")[len('<ScenarioObject name="A">') : -len("</ScenarioObject>")]
    (tmp_path / "cars.xosc").write_text(f'<OpenSCENARIO><Catalog name="cars">{entry}</Catalog></OpenSCENARIO>')
    text = w.document(
        ['<ScenarioObject name="A"><CatalogReference catalogName="cars" entryName="car"/></ScenarioObject>'],
        [w.placed("A", w.at(-1, 0), 1)],
        stop=w.when(1),
    )
    asked = "<CatalogLocations><VehicleCatalog><Directory path='{0}'/></VehicleCatalog></CatalogLocations>"
    for way in ("..", "../", str(tmp_path), "x/../.."):
        with pytest.raises(InputError, match="not in the scenario's folder"):
            w.play(folder, text.replace("<CatalogLocations/>", asked.format(way)))
    (folder / "cars.xosc").write_bytes((tmp_path / "cars.xosc").read_bytes())
    assert w.play(folder, text.replace("<CatalogLocations/>", asked.format("."))).motion.users[0].length == 5


def test_entities_of_xml_are_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    outer = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    for doctype in (bomb, outer):
        path = tmp_path / "scenario.xosc"
        path.write_text(f'<?xml version="1.0"?>{doctype}<OpenSCENARIO><Storyboard>&a;</Storyboard></OpenSCENARIO>')
        with pytest.raises(InputError):
            instantiate(path, {})


def test_scenario_written_to_last_for_ever_is_bounded(tmp_path: Path) -> None:
    init = [w.placed("A", w.at(-1, 0), 1)]
    again = w.group("A", w.event("again", w.private(w.to_speed(1)), w.when(0), times=1_000_000_000))
    scenario = w.play(tmp_path, w.document([w.car("A")], init, again, w.when(10)))
    assert scenario.motion.time_us[-1] == 10_000_000
    many = "".join(
        w.group("A", w.event(f"e{n}", w.private(w.to_speed(1)), w.when(1)), name=f"g{n}") for n in range(6_000)
    )
    began = time.monotonic()
    with pytest.raises(InputError, match="elements"):
        w.play(tmp_path, w.document([w.car("A")], init, many, w.when(10)))
    assert time.monotonic() - began < 60
    for delay, step in (("1e300", ""), ("nan", ""), ("1", "1e-9")):
        parameters = f'<ParameterDeclaration name="Step_s" parameterType="double" value="{step}"/>' if step else ""
        text = w.document([w.car("A")], init, stop=w.when(1, delay=delay), parameters=parameters)
        with pytest.raises(InputError):
            w.play(tmp_path, text)


def test_catalogs_that_refer_to_each_other_in_a_ring_are_refused(tmp_path: Path) -> None:
    ring = '<CatalogReference name="x" catalogName="ring" entryName="x"/>'
    (tmp_path / "ring.xosc").write_text(f'<OpenSCENARIO><Catalog name="ring">{ring}</Catalog></OpenSCENARIO>')
    text = w.document(
        ['<ScenarioObject name="A"><CatalogReference catalogName="ring" entryName="x"/></ScenarioObject>'],
        [w.placed("A", w.at(-1, 0), 1)],
    )
    asked = "<CatalogLocations><VehicleCatalog><Directory path='.'/></VehicleCatalog></CatalogLocations>"
    with pytest.raises(InputError, match="without an end"):
        w.play(tmp_path, text.replace("<CatalogLocations/>", asked))
