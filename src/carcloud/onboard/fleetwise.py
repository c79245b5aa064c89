"""What an AWS IoT FleetWise account describes, as files of ours: an overlay, a DBC and a mapping a bus, plans.

Rules:
* Every file is read by our own loaders before anything is written; nothing is written into a folder that has something.
* What has no equal, and what comes along and differs, is listed with its reason in `remarks.txt`.

Source: docs/moving-in.md.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cantools.database.can import Database, Message, Signal
from cantools.database.conversion import BaseConversion

from carcloud.errors import ConflictError, InputError
from carcloud.onboard.mapping import read_mapping
from carcloud.onboard.sources.can import Decoder
from carcloud.safety.governance.policy import Policy
from carcloud.vehicle import catalogue as catalogues
from carcloud.vehicle.catalogue import Catalogue
from carcloud.vehicle.document import load
from carcloud.vehicle.fleetwise.campaign import Terms, read_campaign
from carcloud.vehicle.fleetwise.export import Export, read_export
from carcloud.vehicle.fleetwise.frames import Bus, Frame, FrameSignal, read_frames
from carcloud.vehicle.fleetwise.record import DIFFERS, Remark
from carcloud.vehicle.fleetwise.signals import Signals, read_signals
from carcloud.vehicle.plans.plan import check

OVERLAY, REMARKS, PLANS = "overlay.yaml", "remarks.txt", "plans"
CLASSIC_BYTES = 8
LISTED = 10
HOLDS = Remark(
    "every condition",
    "a value holds for 60 s unless the condition says `stale after`; in FleetWise it holds until the next",
    DIFFERS,
)


@dataclass
class Move:
    """What is written: files by name, and remarks. signals, buses, plans: how many there are."""

    files: dict[str, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    signals: int = 0
    mapped: int = 0
    plans: int = 0


def move(files: Iterable[tuple[str, bytes]], zone: Catalogue, terms: Terms, governance: Policy) -> Move:
    """Turn files of FleetWise, by name and content, into files of ours.

    Args:
        zone, governance: of the zone that they are for.

    Raises:
        InputError: a file is none of FleetWise, or broken.
    """
    export = read_export(files)
    signals = read_signals(export.nodes, export.names, zone)
    moved = Move(remarks=[*export.remarks, *signals.remarks])
    catalogue = _overlay(signals, zone, moved)
    _buses(export, signals, catalogue, moved)
    _plans(export, signals, catalogue, terms, moved)
    _ungoverned(catalogue, terms.purpose, governance, moved)
    if not moved.files:
        moved.remarks.append(Remark("nothing", "of these files has an equal that the zone does not have already"))
    moved.files[REMARKS] = "".join(f"{remark}\n" for remark in moved.remarks)
    return moved


def write(moved: Move, folder: Path) -> None:
    """Write the files into a folder that is absent or empty. Raise ConflictError where it is neither."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"{folder} has something in it.", "Give a folder that is absent or empty.")
    try:
        for name, text in moved.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}.", "Give another folder.") from None


def _overlay(signals: Signals, zone: Catalogue, moved: Move) -> Catalogue:
    moved.signals = len(signals.overlay)
    if not signals.overlay:
        return zone
    entries = {path: signal.entry() for path, signal in sorted(signals.overlay.items())}
    text = _yaml("From an AWS IoT FleetWise signal catalogue.", {"signals": entries})
    overlay = catalogues.parse(text, OVERLAY)
    moved.files[OVERLAY] = text
    return zone.overlaid(overlay)


def _buses(export: Export, signals: Signals, catalogue: Catalogue, moved: Move) -> None:
    buses, remarks = read_frames(export.interfaces, export.decoders, catalogue)
    moved.remarks += remarks
    for interface, bus in buses.items():
        name = _file_name(interface, {file.partition(".")[0] for file in moved.files})
        rows = dict(_rows(bus, signals, catalogue, moved))
        mapping: dict[str, Any] = {"source": "can", "origin": f"AWS IoT FleetWise, {export.manifest or interface}"}
        mapping |= {"vehicle": export.manifest or "car", "dbc": f"{name}.dbc", "bus": bus.name, "signals": rows}
        files = {f"{name}.dbc": _dbc(bus)}
        files[f"{name}.yaml"] = _yaml("Write your car's name after `vehicle`.", mapping)
        _check(files, name, catalogue)
        moved.files |= files
        moved.mapped += len(rows)


def _rows(bus: Bus, signals: Signals, catalogue: Catalogue, moved: Move) -> Iterator[tuple[str, dict[str, Any]]]:
    for frame in bus.frames.values():
        for signal in frame.signals:
            ours = catalogue[signal.path]
            row: dict[str, Any] = {"column": f"{frame.name}.{signal.name}"}
            unit = signals.units.get(signal.path, ours.unit)
            if ours.unit is not None:
                row["unit"] = unit
            exact = unit == ours.unit and signal.factor == int(signal.factor) and signal.offset == int(signal.offset)
            if "int" in ours.type and (signal.is_float or not exact):
                row["decimals"] = 0
                moved.remarks.append(
                    Remark(signal.path, f"its fractions are rounded, since it is an {ours.type}", DIFFERS)
                )
            yield signal.path, row


def _dbc(bus: Bus) -> str:
    text: str = Database([_message(frame) for frame in bus.frames.values()], version="").as_dbc_string()
    return text


def _message(frame: Frame) -> Message:
    signals = [_signal(signal) for signal in frame.signals]
    wide = frame.length > CLASSIC_BYTES
    return Message(frame.id, frame.name, frame.length, signals, is_extended_frame=frame.extended, is_fd=wide)


def _signal(signal: FrameSignal) -> Signal:
    conversion = BaseConversion.factory(signal.factor, signal.offset, None, signal.is_float)
    order: Any = "big_endian" if signal.big_endian else "little_endian"
    return Signal(signal.name, signal.start, signal.length, order, signal.signed, conversion=conversion)


def _check(files: dict[str, str], name: str, catalogue: Catalogue) -> None:
    """Read a mapping and its DBC as the agent would."""
    with tempfile.TemporaryDirectory() as folder:
        for file, text in files.items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        units = {path: signal.unit for path, signal in catalogue.items()}
        Decoder(read_mapping(Path(folder) / f"{name}.yaml", units), None, Counter())


def _plans(export: Export, signals: Signals, catalogue: Catalogue, terms: Terms, moved: Move) -> None:
    taken: set[str] = set()
    for campaign in export.campaigns:
        documents, remarks = read_campaign(campaign, signals, catalogue, terms, taken)
        moved.remarks += remarks
        for document in documents:
            text = _yaml("From an AWS IoT FleetWise campaign.", document)
            plan, problems = check(load(text), catalogue, now=terms.now)
            if plan is None:
                moved.remarks += [
                    Remark(f"campaign {document['plan']}", f"{each.message} {each.do}") for each in problems
                ]
                continue
            moved.files[f"{PLANS}/{document['plan']}.yaml"] = text
            moved.plans += 1
    if any("when" in text for name, text in moved.files.items() if name.startswith(PLANS)):
        moved.remarks.append(HOLDS)


def _ungoverned(catalogue: Catalogue, purpose: str, governance: Policy, moved: Move) -> None:
    """Tell which signals that came along the governance would drop, or not keep for the purpose."""
    paths = {path for name, text in moved.files.items() if name.startswith(PLANS) for path in _paths(load(text))}
    if OVERLAY in moved.files:
        paths |= load(moved.files[OVERLAY])["signals"].keys()
    dropped, other = [], []
    for path in sorted(paths & catalogue.keys()):
        rule = governance.rule_of(path)
        if rule is None or not rule.keep:
            dropped.append(path)
        elif purpose not in rule.purposes:
            other.append(path)
    if dropped:
        why = f"the governance {governance.name} drops them: {_listed(dropped)}"
        moved.remarks.append(Remark(f"{len(dropped)} signals", why, DIFFERS))
    if other and moved.plans:
        why = f"the governance {governance.name} keeps them for other purposes than {purpose}: {_listed(other)}"
        moved.remarks.append(Remark(f"{len(other)} signals", why, DIFFERS))


def _paths(plan: dict[str, Any]) -> list[str]:
    return [row if isinstance(row, str) else row["path"] for row in plan["signals"]]


def _listed(paths: list[str]) -> str:
    more = len(paths) - LISTED
    return ", ".join(paths[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _file_name(interface: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9_-]", "-", interface)[:64] or "can"
    name, count = base, 2
    while name in {*taken, "overlay", "remarks", "plans"}:
        name, count = f"{base}-{count}", count + 1
    return name


def _yaml(comment: str, document: Any) -> str:
    body = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return f"# {comment}\n{body}"
