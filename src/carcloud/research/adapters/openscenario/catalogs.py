"""Catalogs: vehicles, pedestrians, routes, trajectories and so on that scenarios share.

Source: ASAM OpenSCENARIO XML 1.3, 9.4 (catalogs), 9.4.2 (parameters in catalogs).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from carcloud.errors import InputError
from carcloud.research.adapters.openscenario.files import catalogs_in
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.parameters import declared

LIMIT_DEPTH = 8
"""Catalog entries that refer to other catalogs."""


class Catalogs:
    """The catalogs that a scenario names.

    Args:
        folder: where the scenario lies.
        root: its root element.
    """

    def __init__(self, folder: Path, root: Node) -> None:
        self._folder = folder
        self._said: list[str] = []
        locations = root.find("CatalogLocations")
        for location in locations.children() if locations is not None else ():
            directory = location.find("Directory")
            if directory is not None:
                self._said.append(directory.text("path"))
        self._by_name: dict[str, dict[str, object]] | None = None

    def has(self, catalog: str) -> bool:
        """Return whether there is a catalog of this name."""
        return catalog in self._read()

    def entry(self, reference: Node) -> Node:
        """Return the entry that a CatalogReference means, with its parameters.

        Raises:
            InputError: there is no such catalog or entry.
        """
        catalog, name = reference.text("catalogName"), reference.text("entryName")
        entries = self._read().get(catalog)
        if entries is None:
            reference.refuse(
                f"names the catalog {catalog[:60]!r}, which is not in the scenario's folder",
                "Put the catalog's folder beside the scenario.",
            )
        if name not in entries:
            known = ", ".join(sorted(entries)[:20])
            reference.refuse(f"names {name[:60]!r}, which {catalog[:60]} has not", f"It has: {known}.")
        entry = Node(entries[name], {})
        return entry.with_values(declared(entry, self._assigned(reference), {}))

    def resolved(self, node: Node) -> Node:
        """Return the entry where a node is a CatalogReference, else the node.

        Raises:
            InputError: there is no such entry, or entries refer to each other in a ring.
        """
        for _ in range(LIMIT_DEPTH):
            if node.tag != "CatalogReference":
                return node
            node = self.entry(node)
        raise InputError("Catalog entries refer to each other without an end.", "Correct the catalogs.")

    def _assigned(self, reference: Node) -> Mapping[str, str]:
        section = reference.find("ParameterAssignments")
        if section is None:
            return {}
        each = section.children("ParameterAssignment")
        return {one.element.get("parameterRef", "").lstrip("$"): one.text("value") for one in each}

    def _read(self) -> dict[str, dict[str, object]]:
        if self._by_name is None:
            self._by_name = {}
            for said in self._said:
                for catalog in catalogs_in(self._folder, said):
                    entries = {one.get("name", ""): one for one in catalog if isinstance(one.tag, str)}
                    self._by_name.setdefault(catalog.get("name", ""), {}).update(entries)
        return self._by_name
