"""A bill of materials of the environment that runs carcloud: `python -m carcloud.assembly.sbom`, or `make sbom`.

Rules:
* It lists what is installed here, not what a file asked for; versions, licences and what needs what come from the
  packages' own metadata.
* The same environment gives the same bill, but for its time and serial number.

Source: CycloneDX 1.6 (JSON); package URLs (purl), type pypi; PEP 503 (normal names), PEP 639 (licence expressions).
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from typing import Any

import orjson

from carcloud import __version__

ROOT = "carcloud"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def bill(installed: Iterable[Distribution], at: datetime) -> dict[str, Any]:
    """Return the bill of materials of these packages."""
    found = {_normal(each.metadata["Name"]): each for each in installed}
    parts = {name: each for name, each in sorted(found.items()) if name != ROOT}
    root = {"type": "application", "bom-ref": ROOT, "name": ROOT, "version": __version__}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "component": root | {"licenses": [{"expression": "Apache-2.0"}]},
        },
        "components": [_component(name, each) for name, each in parts.items()],
        "dependencies": [
            {"ref": _ref(name, found), "dependsOn": sorted(_ref(needed, found) for needed in _needed(each, found))}
            for name, each in sorted(found.items())
        ],
    }


def _component(name: str, package: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{package.version}"
    component = {"type": "library", "bom-ref": purl, "name": name, "version": package.version, "purl": purl}
    licences = _licences(package)
    return component | ({"licenses": licences} if licences else {})


def _licences(package: Distribution) -> list[dict[str, Any]]:
    """Return the licence as the package says it: an SPDX expression, else the names of its classifiers."""
    if expressions := package.metadata.get_all("License-Expression"):
        return [{"expression": expressions[0]}]
    classifiers = package.metadata.get_all("Classifier") or []
    names = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    return [{"license": {"name": name}} for name in names if name != "OSI Approved"]


def _needed(package: Distribution, found: dict[str, Distribution]) -> set[str]:
    """Return which of the installed packages this one names among what it needs, extras left out."""
    wanted = [text.partition(";") for text in package.requires or []]
    names = {_normal(_NAME.match(need)[0]) for need, _, marker in wanted if "extra" not in marker}  # type: ignore[index]
    return names & found.keys()


def _ref(name: str, found: dict[str, Distribution]) -> str:
    return ROOT if name == ROOT else f"pkg:pypi/{name}@{found[name].version}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    text = orjson.dumps(bill(distributions(), datetime.now(UTC)), option=orjson.OPT_INDENT_2)
    sys.stdout.buffer.write(text + b"\n")
