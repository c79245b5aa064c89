"""CAN: logs (candump .log and .log.gz, BLF, ASC) and any live bus that python-can knows, decoded by DBC files.

Rules:
* Every frame of a mapped message gives its samples; their time is the frame's, to the microsecond.
* A broken line, a frame too short for its message and a log that ends in the middle are counted, not guessed at.
* A log in which no frame of a mapped message is found is an error: it is the wrong DBC, or the wrong bus.
"""

from __future__ import annotations

import difflib
import gzip
import re
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import can
import cantools
import numpy as np

from carcloud.errors import InputError, MissingError, TryLaterError
from carcloud.onboard.mapping import DriveMapping, Signal
from carcloud.onboard.source import Block, Slice, mapped_column, number_column, recording_name
from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import Column

CANDUMP = re.compile(r"\((\d+\.\d+)\)\s+(\S+)\s+([0-9A-Fa-f]{3,8})#(#[0-9A-Fa-f])?([0-9A-Fa-f]*)(?:\s+[RT])?")
CANDUMP_REMOTE = re.compile(r"\(\d+\.\d+\)\s+\S+\s+[0-9A-Fa-f]{3,8}#R\d*(?:\s+[RT])?")
SLICE_US = 1_000_000
LIVE_SLICE_S = 0.2

Frame = tuple[int, str, int, bool, bytes]  # time µs, bus, id, extended, payload


class Decoder:
    """Turns frames into samples of the mapped signals."""

    def __init__(self, mapping: DriveMapping, recording: Path | None, skipped: Counter[str]) -> None:
        self.mapping, self.skipped = mapping, skipped
        self._signals: dict[tuple[int, bool], list[tuple[int, Signal]]] = {}
        self._messages: dict[tuple[int, bool], Any] = {}
        self._rows: dict[int, tuple[list[int], list[Any]]] = {}
        self.frames = 0
        messages = _messages(mapping, recording)
        for index, signal in enumerate(mapping.signals):
            message = _message(signal, messages, mapping)
            key = (message.frame_id, message.is_extended_frame)
            self._messages[key] = message
            self._signals.setdefault(key, []).append((index, signal))

    def feed(self, frame: Frame) -> bool:
        """Decode one frame; say whether it belongs to a mapped message."""
        time_us, bus, frame_id, extended, payload = frame
        key = (frame_id, extended)
        if key not in self._messages or (self.mapping.bus is not None and bus != self.mapping.bus):
            return False
        try:
            values = self._messages[key].decode_simple(payload, decode_choices=False, allow_excess=True)
        except (cantools.database.DecodeError, ValueError):
            self.skipped[f"{self._messages[key].name}: frames too short"] += 1
            return True
        self.frames += 1
        for index, signal in self._signals[key]:
            names = [source.partition(".")[2] for source in signal.sources]
            if all(name in values for name in names):  # a multiplexed signal is not in every frame
                times, found = self._rows.setdefault(index, ([], []))
                times.append(time_us)
                found.append(values[names[0]] if len(names) == 1 else sum(values[name] for name in names))
        return True

    def take(self, vehicle: str, until_us: int) -> Slice:
        """Return what was decoded since the last call."""
        rows, self._rows = self._rows, {}
        columns = [self._column(index, *rows[index]) for index in sorted(rows)]
        return Slice([Block(vehicle, [column for column in columns if len(column)])], until_us)

    def _column(self, index: int, times: list[int], found: list[Any]) -> Column:
        signal = self.mapping.signals[index]
        times_us = np.array(times, np.int64)
        if signal.values is not None or signal.text:
            return mapped_column(index, signal, times_us, found, self.skipped)
        return number_column(index, signal, times_us, np.array(found, np.float64), self.skipped)


def _messages(mapping: DriveMapping, recording: Path | None) -> dict[str, Any]:
    messages: dict[str, Any] = {}
    for name in mapping.dbc:
        file = mapping.beside(name, recording)
        try:
            database: Any = cantools.database.load_file(file, database_format="dbc")
        except (cantools.Error, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{file} is no readable DBC: {reason}.", "Mend the line it names.") from None
        messages |= {message.name: message for message in database.messages}
    return messages


def _message(signal: Signal, messages: dict[str, Any], mapping: DriveMapping) -> Any:
    names = {source.partition(".")[0] for source in signal.sources}
    if len(names) > 1:
        do = "Sum signals of one message only: only those come at the same time."
        raise InputError(f"{mapping.file}: signals.{signal.path}.sum mixes messages.", do)
    message = messages.get(names.pop())
    known = [s.name for s in message.signals] if message else []
    for source in signal.sources:
        if source.partition(".")[2] not in known:
            every = [f"{name}.{s.name}" for name, one in messages.items() for s in one.signals]
            near = difflib.get_close_matches(source, every, 3) or every[:5]
            do = f"Signals are written MESSAGE.SIGNAL, such as {', '.join(near)}."
            raise InputError(f"{mapping.file}: signals.{signal.path} names {source!r}, which no DBC has.", do)
    return message


class CanLog:
    """A CAN log as a source."""

    live = False

    def __init__(self, file: Path, mapping: DriveMapping) -> None:
        if not file.is_file():
            raise MissingError(f"There is no file {file}.", "Give the path of a CAN log.")
        self.file, self.mapping = file, mapping
        self.table: IdTable = mapping.table
        self.provenance = mapping.provenance if mapping.provenance is not None else Provenance.REPLAY
        self.skipped: Counter[str] = Counter()
        self._decoder = Decoder(mapping, file, self.skipped)
        self.recording: str | None = recording_name(file, mapping.table)

    def vehicles(self) -> list[str]:
        """Return the one vehicle's name."""
        return [str(self.mapping.vehicle)]

    def slices(self) -> Iterator[Slice]:
        """Yield a slice for about every second of the log."""
        begin = last = None
        for frame in self._frames():
            if begin is None:
                begin = frame[0]
            if frame[0] - begin >= SLICE_US:
                yield self._decoder.take(self.vehicles()[0], frame[0])
                begin = frame[0]
            self._decoder.feed(frame)
            last = frame[0]
        if last is not None:
            yield self._decoder.take(self.vehicles()[0], last)
        if not self._decoder.frames:
            bus = f" on the bus {self.mapping.bus}" if self.mapping.bus else ""
            do = "Check that the DBC is this car's, and the mapping's `bus`."
            raise InputError(f"{self.file} has no frame of a mapped message{bus}.", do)

    def _frames(self) -> Iterator[Frame]:
        suffixes = [suffix.lower() for suffix in self.file.suffixes]
        if suffixes[-1:] == [".log"] or suffixes[-2:] == [".log", ".gz"]:
            return self._candump()
        if suffixes and suffixes[-1] in (".blf", ".asc"):
            return self._vector()
        raise InputError(f"{self.file} is no known kind of CAN log.", "Known are .log, .log.gz, .blf and .asc.")

    def _candump(self) -> Iterator[Frame]:
        opened = gzip.open if self.file.suffix == ".gz" else open
        try:
            with opened(self.file, "rt", encoding="ascii", errors="replace") as lines:
                for line in lines:
                    yield from self._candump_line(line.strip())
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.skipped[f"log ends in the middle ({error})"] += 1

    def _candump_line(self, line: str) -> Iterator[Frame]:
        match = CANDUMP.fullmatch(line)
        if match and len(match[5]) % 2 == 0:
            yield _micros(match[1]), match[2], int(match[3], 16), len(match[3]) > 3, bytes.fromhex(match[5])
        elif line and not CANDUMP_REMOTE.fullmatch(line):
            self.skipped["broken lines"] += 1

    def _vector(self) -> Iterator[Frame]:
        reader: Any = can.BLFReader if self.file.suffix.lower() == ".blf" else can.ASCReader
        try:
            with reader(self.file) as messages:
                for message in messages:
                    if _carries_data(message):
                        yield _frame(message)
        except (can.CanError, can.io.blf.BLFParseError, struct.error, ValueError, EOFError, zlib.error) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{self.file} cannot be read: {reason}.", "Mend or convert the log.") from None


def _micros(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0")[:6])


def _carries_data(message: can.Message) -> bool:
    return not (message.is_remote_frame or message.is_error_frame)


def _frame(message: can.Message) -> Frame:
    bus = "" if message.channel is None else str(message.channel)
    time_us = round(message.timestamp * 1e6)
    return time_us, bus, message.arbitration_id, message.is_extended_id, bytes(message.data)


class CanBus:
    """A live CAN bus as a source. It runs until `stop` is set."""

    live = True
    recording: str | None = None

    def __init__(self, interface: str, channel: str, mapping: DriveMapping, stop: threading.Event) -> None:
        self.mapping, self._stop = mapping, stop
        self.table: IdTable = mapping.table
        self.provenance = mapping.provenance if mapping.provenance is not None else Provenance.MEASURED
        self.skipped: Counter[str] = Counter()
        self._decoder = Decoder(mapping, None, self.skipped)
        try:
            self._bus = can.Bus(interface=interface, channel=channel)
        except (can.CanError, OSError, NotImplementedError, ImportError) as error:
            do = "Bring the interface up, or name another, such as socketcan:can0."
            raise TryLaterError(f"The CAN interface {interface}:{channel} does not open: {error}.", do) from None

    def vehicles(self) -> list[str]:
        """Return the one vehicle's name."""
        return [str(self.mapping.vehicle)]

    def slices(self) -> Iterator[Slice]:
        """Yield a slice about every 0.2 s, empty where the bus is silent."""
        with self._bus:
            due = time.monotonic() + LIVE_SLICE_S
            while not self._stop.is_set():
                message = self._receive(max(0.0, due - time.monotonic()))
                if message is not None and _carries_data(message):
                    self._decoder.feed(_frame(message))
                if time.monotonic() >= due:
                    due += LIVE_SLICE_S
                    yield self._decoder.take(self.vehicles()[0], time.time_ns() // 1000)
            yield self._decoder.take(self.vehicles()[0], time.time_ns() // 1000)

    def _receive(self, timeout_s: float) -> can.Message | None:
        try:
            return self._bus.recv(timeout_s)
        except (can.CanError, OSError) as error:
            do = "Bring the interface up and drive again; what was stored is sent then."
            raise TryLaterError(f"The CAN bus failed: {error}.", do) from None
