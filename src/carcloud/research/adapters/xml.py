"""XML of others, read without trusting it.

Rules:
* Entities stay unresolved and their declarations are refused, nothing is fetched, and libxml2's own bounds on depth and
  length of texts stay on.
* A document over LIMIT_XML_BYTES is refused before it is read.
* Elements come without namespaces, comments and processing instructions: one spelling for every edition of a format.
* A number must be there, be a number, and be finite; an error says in which line it is not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lxml import etree

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import LIMIT_XML_BYTES

Element = etree._Element

_PARSING = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
    "remove_blank_text": False,
}


def parse(path: Path) -> Element:
    """Return the root of a file of XML.

    Raises:
        InputError: it cannot be read, is too large, no XML, or declares entities.
    """
    return parse_text(text_of(path), path.name)


def text_of(path: Path) -> bytes:
    """Return the text of a file of XML as it lies.

    Raises:
        InputError: it cannot be read or is too large.
    """
    try:
        if path.stat().st_size > LIMIT_XML_BYTES:
            raise _too_large(path.name)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read.", "Name a file that exists and may be read.") from error


def parse_text(text: bytes, name: str) -> Element:
    """Return the root of XML in memory; `name` is what errors call it.

    Raises:
        InputError: it is too large, no XML, or declares entities.
    """
    if len(text) > LIMIT_XML_BYTES:
        raise _too_large(name)
    try:
        root = etree.fromstring(text, etree.XMLParser(**_PARSING))  # type: ignore[arg-type]
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InputError(f"{name} is no well-formed XML: {error}", "Export it again, whole.") from error
    if _declares_entities(root):
        raise InputError(f"{name} declares entities.", "Write out what they stand for.")
    _without_namespaces(root)
    return root


def number(element: Element, attribute: str, default: float | None = None) -> float:
    """Return an attribute as a finite number; `default` where it is missing and a default is given.

    Raises:
        InputError: it is missing, no number, or not finite.
    """
    told = element.get(attribute)
    if told is None and default is not None:
        return default
    return _finite(told, f"{attribute} of {where(element)}")


def number_in(element: Element) -> float:
    """Return the text of an element as a finite number.

    Raises:
        InputError: it is empty, no number, or not finite.
    """
    return _finite(element.text, where(element))


def where(element: Element) -> str:
    """Return which element that is, for an error."""
    return f"<{element.tag}> in line {element.sourceline}"


def child(element: Element, name: str) -> Element:
    """Return the first child of that name.

    Raises:
        InputError: there is none.
    """
    found = element.find(name)
    if found is None:
        raise InputError(f"{where(element)} has no <{name}>.", "Complete it at its source.")
    return found


def _finite(told: str | None, what: str) -> float:
    try:
        value = float(told or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{what} is no finite number: {(told or '')[:40]!r}.", "Mend it at its source.")
    return value


def _declares_entities(root: Element) -> bool:
    declared: Any = root.getroottree().docinfo.internalDTD
    return declared is not None and any(True for _ in declared.iterentities())


def _too_large(name: str) -> InputError:
    return InputError(f"{name} is over {LIMIT_XML_BYTES >> 20} MiB of XML.", "Split it into several files.")


def _without_namespaces(root: Element) -> None:
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag[0] == "{":
            element.tag = etree.QName(element).localname
