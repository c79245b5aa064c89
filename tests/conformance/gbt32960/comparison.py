"""rtm-con and we, value by value, on frames made up at random: what we write it reads, and what it writes we read.

    python -m tests.conformance.gbt32960.comparison --frames 10000

Where rtm-con differs from the standard, or does not know something, `EXCEPTIONS` says so with the reason.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import rsa
from rtm_con import msg_checked

from carcloud.vehicle.gbt32960.forms import (
    Activation,
    Answer,
    KeyExchange,
    Login,
    Logout,
    Message,
    PlatformLogin,
    PlatformLogout,
    Report,
)
from carcloud.vehicle.gbt32960.frames import Edition, FrameReader, encode
from carcloud.vehicle.gbt32960.layout import ABNORMAL, Readings
from carcloud.vehicle.gbt32960.messages import read, write
from carcloud.vehicle.gbt32960.signature import signer
from carcloud.vehicle.gbt32960.units import ALARMS, SIGNATURE_TYPE, Unit
from tests.gbt32960 import message, report

EXCEPTIONS = {
    "fuel_cell, stacks, capacitor, capacitor_extremes": "rtm-con does not know these units; it is not given them.",
    "a sentinel in place of a count": "rtm-con reads 254 or 255 items; it is not given any.",
    "cells.current, 2016": "rtm-con takes 3000 A off, as the edition of 2025 has it. The text of 2016 says 1000 A, and "
    "in the published frame of 2016 the battery's current equals the vehicle's only so.",
    "vehicle.insulation, 2016": "rtm-con knows no missing and no abnormal there; the raw value is compared.",
    "bits without a meaning": "rtm-con writes them as 0 (alarms, position, gear); it is given none.",
    "motor numbers, first cells, alarm levels": "rtm-con has plain numbers; the raw value is compared.",
    "query, set, control, other commands": "rtm-con keeps the bytes of these; the bytes are compared.",
    "an answer with more than the time": "rtm-con knows the time only; it is not given more.",
    "states and datum": "rtm-con's names of a code are not compared, but the code.",
}
UNKNOWN = ("fuel_cell", "stacks", "capacitor", "capacitor_extremes")

NAMES: dict[str, dict[str, str]] = {
    "vehicle": {
        "state": "vehicle_state",
        "charge": "charge_state",
        "mode": "operate_state",
        "speed": "vehicle_speed",
        "odometer": "mileage_total",
        "voltage": "voltage_total",
        "current": "current_total",
        "charge_level": "soc",
        "dcdc": "dcdc_state",
        "insulation": "insulation_resistance",
        "accelerator": "accelerator_padel",
        "brake": "brake_padel",
    },
    "motors": {
        "number": "index",
        "state": "state",
        "controller_temperature": "ctrl_temp",
        "speed": "speed",
        "torque": "torque",
        "temperature": "temp",
        "voltage": "ctrl_volt",
        "current": "ctrl_curr",
    },
    "engine": {"state": "engine_state", "speed": "engine_torque", "consumption": "fuel_consumption"},
    "position": {"datum": "gnss_gcs", "longitude": "gnss_lng", "latitude": "gnss_lat"},
    "extremes": {
        "highest_voltage_pack": "max_volt_pack_index",
        "highest_voltage_cell": "max_volt_cell_index",
        "highest_voltage": "max_cell_volt",
        "lowest_voltage_pack": "min_volt_pack_index",
        "lowest_voltage_cell": "min_volt_cell_index",
        "lowest_voltage": "min_cell_volt",
        "highest_temperature_pack": "max_temp_pack_index",
        "highest_temperature_probe": "max_temp_cell_index",
        "highest_temperature": "max_cell_temp",
        "lowest_temperature_pack": "min_temp_pack_index",
        "lowest_temperature_probe": "min_temp_cell_index",
        "lowest_temperature": "min_cell_temp",
    },
    "cells": {
        "pack": "index",
        "voltage": "volt",
        "current": "curr",
        "total": "cell_total",
        "first": "cell_start_index",
        "cells": "cell_volts",
    },
    "temperatures": {"pack": "index", "probes": "probe_temps"},
}
CODES = {
    "battery": "pack_failures",
    "motors": "emotor_failures",
    "engine": "engine_failures",
    "other": "other_failures",
}
MEANT = {Edition.E2016: (0x7FFFF, 7, 0x3F), Edition.E2025: (0xFFFFFFF, 7, 0xBF)}
"""The bits that have a meaning: of alarms, of a position, of the gear."""
BYTES = {"number": 1, "first": 2, "level": 1, "insulation": 2}
RSA_KEY = rsa.generate_private_key(65537, 2048)


class Differences(Exception):  # noqa: N818 - it is what was found, not an error of a caller
    """Where rtm-con and we do not agree."""


def agree(what: str, ours: Any, theirs: Any) -> None:
    if ours != theirs and not (
        isinstance(ours, float) and isinstance(theirs, int | float) and abs(ours - theirs) < 1e-6
    ):
        raise Differences(f"{what}: {ours!r} here, {theirs!r} there")


def value(what: str, ours: Any, theirs: Any, size: int) -> int:
    """Compare one value; return how many were compared."""
    if not hasattr(theirs, "valid"):  # a plain number or a code
        raw = 256**size - 1 if ours is None else 256**size - 2 if ours is ABNORMAL else ours
        agree(what, raw, int(theirs))
    elif theirs.valid:
        agree(what, ours if ours is None or ours is ABNORMAL else float(ours), float(theirs.value))
    else:
        agree(what, ours, None if theirs.valid is None else ABNORMAL)
    return 1


def fields(name: str, ours: dict[str, Any], theirs: Any, edition: Edition) -> int:
    compared = 0
    for field, other in NAMES[name].items():
        if field not in ours:
            continue
        what, mine, its = f"{name}.{field}", ours[field], theirs[other]
        if isinstance(mine, Readings):
            agree(f"{what} count", len(mine), len(its))
            for one, flag, raw in zip(mine.values, mine.abnormal, its, strict=True):
                value(what, None if np.isnan(one) and not flag else ABNORMAL if flag else float(one), raw, 1)
            compared += len(mine)
            continue
        if what == "vehicle.insulation" and edition is Edition.E2016:
            its = int(its.value)
        if what == "cells.current" and edition is Edition.E2016 and its.valid:
            its.value += 2_000
        compared += value(what, mine, its, BYTES.get(field, 1))
        if what == "cells.current" and edition is Edition.E2016 and its.valid:
            its.value -= 2_000
    return compared


def unit(ours: Unit, theirs: Any, edition: Edition) -> int:
    mine, its = ours.fields, theirs.data_content
    if ours.name == "oem":
        agree("oem.type", mine["type"], int(theirs.data_type))
        agree("oem", mine["content"].hex(), its)
        return 1
    if ours.name in ("motors", "cells", "temperatures"):
        rows = mine["motors" if ours.name == "motors" else "packs"]
        agree(f"{ours.name} count", len(rows), len(its))
        return sum(fields(ours.name, row, other, edition) for row, other in zip(rows, its, strict=True))
    if ours.name == "alarms":
        return alarms(dict(mine), its)
    compared = fields(ours.name, dict(mine), its, edition)
    if ours.name == "vehicle":
        gear, state = mine["gear"], its.gear_state
        bits = int(state.gear), int(state.braking_force), int(state.driving_force)
        agree("gear", (gear & 15, gear >> 4 & 1, gear >> 5 & 1), bits)
    if ours.name == "position":
        flags = mine["flags"]
        agree("flags", (flags & 1, flags >> 1 & 1, flags >> 2 & 1), _flags(its.gnss_state))
    return compared + 1


def _flags(state: Any) -> tuple[int, int, int]:
    return int(not state.gnss_valid), int(state.gnss_n_s), int(state.gnss_e_w)


def alarms(mine: dict[str, Any], its: Any) -> int:
    value("alarms.level", mine["level"], its.max_warning_level, 1)
    names = [name for name in its.general_warnings if not name.startswith("_")]
    told = [its.general_warnings[name] for name in names]
    agree("alarms.flags", [bool(mine["flags"] >> bit & 1) for bit in range(len(names))], told)
    for field, other in CODES.items():
        agree(f"alarms.{field}", [f"{code:08x}" for code in mine[field]], list(its[other]))
    for row, other in zip(mine.get("levels", ()), its.get("general_warning_list", ()), strict=True):
        value("alarms.alarm", row["alarm"], other.warning, 1)
        value("alarms.level", row["level"], other.level, 1)
    return 5 + len(ALARMS)


def messages(ours: Message, theirs: Any) -> int:
    if isinstance(ours, Login):
        agree("iccid", ours.iccid, theirs.iccid)
        agree("serial", ours.serial, theirs.session_id)
        codes = theirs.get("pack_sn") if "pack_sn" in theirs else [code for row in theirs.pack_sn_list for code in row]
        agree("codes", list(ours.codes), list(codes))
        return 3
    if isinstance(ours, Logout | PlatformLogout | PlatformLogin):
        agree("serial", ours.serial, theirs.session_id)
    if isinstance(ours, PlatformLogin):
        agree("user", (ours.user, ours.password, ours.encryption), (theirs.username, theirs.password, int(theirs.enc)))
    if isinstance(ours, KeyExchange):
        agree("key", (ours.encryption, ours.key.hex()), (int(theirs.payload_enc), theirs.payload_key))
    if isinstance(ours, Activation):
        agree("chip", (ours.chip, ours.key.hex(), ours.activated), (theirs.sec_chip_id, theirs.pubkey, theirs.vin))
    return 2


def meant(said: Report, edition: Edition) -> Report:
    """Return a report without bits that have no meaning."""
    alarm, place, gear = MEANT[edition]
    units = []
    for one in said.units:
        known = dict(one.fields)
        if one.name in ("alarms", "position"):
            known["flags"] &= alarm if one.name == "alarms" else place
        if one.name == "vehicle":
            known["gear"] = known["gear"] & gear if isinstance(known["gear"], int) else 0
        units.append(Unit(one.name, known))
    return replace(said, units=tuple(units))


def compare(rng: random.Random, edition: Edition, most: int) -> Counter[str]:
    """Make up one frame and compare; raise Differences."""
    counted: Counter[str] = Counter(frames=1)
    said: Message = message(rng, edition)
    if rng.random() < 0.8:
        said = meant(report(rng, edition, most, False, UNKNOWN), edition)
    signed = edition is Edition.E2025 and isinstance(said, Report) and rng.random() < 0.1
    frame = write(said, edition, signer(RSA_KEY) if signed else None)
    data = encode(frame)
    theirs = msg_checked.check(data, RSA_KEY.public_key()) if signed else msg_checked.parse(data)
    counted["signatures"] += signed
    ours = read(frame)
    agree("header", (frame.command, frame.answer, frame.vin), (int(theirs.msg_type), int(theirs.ack), theirs.vin))
    if hasattr(theirs.payload, "timestamp") and hasattr(ours, "at"):
        agree("time", ours.at.astimezone().replace(tzinfo=None), theirs.payload.timestamp)
    if isinstance(ours, Report):
        items = [item for item in theirs.payload.data_list if int(item.data_type) != SIGNATURE_TYPE]
        agree("units", len(ours.units), len(items))
        counted["values"] += sum(unit(mine, its, edition) for mine, its in zip(ours.units, items, strict=True))
    elif isinstance(ours, Message) and not isinstance(ours, Answer):
        counted["values"] += messages(ours, theirs.payload)
    built = msg_checked.build(theirs)
    agree("what rtm-con writes", data.hex(), built.hex())
    (again,) = FrameReader().feed(built)
    agree("what we read of it", read(again), ours)  # type: ignore[arg-type]
    return counted


def run(frames: int, edition: Edition, seed: int, most: int = 8) -> Counter[str]:
    """Compare as many frames; raise Differences with the seed of the first that differs."""
    counted: Counter[str] = Counter()
    for number in range(seed, seed + frames):
        try:
            counted += compare(random.Random(number), edition, most)
        except Differences as error:
            raise Differences(f"frame {number} of {edition.year}: {error}") from None
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for edition in Edition:
        began = time.perf_counter()
        counted = run(given.frames, edition, given.seed)
        told = ", ".join(f"{count:,} {what}" for what, count in counted.items())
        print(f"{edition.year}: {told}: agreed, both ways, in {time.perf_counter() - began:.0f} s", flush=True)
    for what, why in EXCEPTIONS.items():
        print(f"except {what}: {why}")


if __name__ == "__main__":
    main()
