"""Taking recordings in: begun by a manifest, sent in parts, finished when every byte is there.

Rules:
* What may not be kept is refused at the manifest, before its first byte.
* A part is kept when its length and its SHA-256 are right; whoever was cut off sends only what is missing.
* A recording waits for its import only when the SHA-256 of the whole is the one its manifest says.
* An upload that nobody ends within a week is forgotten.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from carcloud.backends.objects import Objects
from carcloud.backends.records import Records
from carcloud.backends.records.recordings import OVER, Recording
from carcloud.errors import ConflictError, InputError
from carcloud.research.lawful import judge
from carcloud.research.manifest import PART_BYTES, Manifest, part_lengths
from carcloud.safety.grants.grant import Ground

UPLOAD_LASTS = timedelta(days=7)


@dataclass(frozen=True)
class Desk:
    """Where recordings are taken in.

    ground: returns what the zone's governance says now. limit_bytes: of one recording.
    """

    records: Records
    objects: Objects
    ground: Callable[[], Ground]
    limit_bytes: int

    def begin(self, tenant: str, said: Manifest, actor: str, at: datetime) -> Recording:
        """Begin a recording, or go on with the same one where it was cut off.

        Raises:
            InputError: the manifest says what cannot be.
            NotAllowedError: it may not be kept.
            ConflictError: these bytes are a recording already.
        """
        said.check(self.limit_bytes)
        ground = self.ground()
        found = judge(self.records, ground, tenant, said.purpose, said.vehicle, said.licence, at)
        options = {"main": said.main, "mapping": said.mapping, "road": said.road, "parameters": dict(said.parameters)}
        wanted = Recording(
            id=secrets.token_hex(8),
            tenant=tenant,
            name=said.title,
            bytes=said.bytes,
            sha256=said.sha256,
            files=said.files,
            purpose=found.purpose,
            basis=found.basis,
            consent=found.consent,
            zone=ground.zone,
            made_by=actor,
            made_at=at,
            options=options,
            format=said.format,
            licence=said.licence,
            vehicle=said.vehicle,
            software_version=said.software_version,
            place=said.place,
        )
        return self.records.recordings.begin(wanted)

    def missing(self, recording: Recording) -> list[int]:
        """Return the numbers of the parts that are not there yet; none once it was finished."""
        if recording.state != "uploading":
            return []
        there = self.objects.parts(recording.key)
        lengths = enumerate(part_lengths(recording.bytes), 1)
        return [number for number, length in lengths if there.get(number) != length]

    def put_part(self, recording: Recording, number: int, data: bytes, sha256: str) -> None:
        """Keep a part; the same once more changes nothing.

        Raises:
            InputError: it is none of this recording, or not the one that its hash says.
            ConflictError: the recording takes no parts any more.
        """
        _check_open(recording)
        lengths = part_lengths(recording.bytes)
        if not 1 <= number <= len(lengths):
            raise InputError(f"There is no part {number}.", f"Send parts 1 to {len(lengths)}.")
        if len(data) != lengths[number - 1]:
            do = f"Every part has {PART_BYTES} bytes; the last has {lengths[-1]}."
            raise InputError(f"Part {number} has {len(data)} bytes, not {lengths[number - 1]}.", do)
        if hashlib.sha256(data).hexdigest() != sha256.lower():
            raise InputError(f"Part {number} is not what its SHA-256 says.", "Send it again.")
        self.objects.put_part(recording.key, number, data)

    def finish(self, recording: Recording, actor: str, at: datetime) -> Recording:
        """Put the parts together, and let the recording wait for its import; again changes nothing.

        Raises:
            InputError: parts are missing; or the whole has another SHA-256, and the recording is refused.
            ConflictError: the recording takes no parts any more.
        """
        if recording.state in ("waiting", "importing", "imported"):
            return recording
        _check_open(recording)
        if missing := self.missing(recording):
            listed = ", ".join(map(str, missing[:20]))
            raise InputError(
                f"{len(missing)} parts are missing: {listed}.", "Send them, then say again that it is done."
            )
        if self.objects.join(recording.key) != recording.sha256:
            error = "Its bytes have another SHA-256 than its manifest says."
            self.records.recordings.move(recording, "refused", actor, at, error=error)
            self.objects.delete(recording.key)
            raise InputError(error, "Begin again; see that nothing writes to the files meanwhile.")
        moved = self.records.recordings.move(recording, "waiting", actor, at)
        self.objects.drop_parts(recording.key)
        return moved

    def tidy(self, actor: str, at: datetime) -> int:
        """Forget the uploads that nobody ended in time, and bytes that no recording has; return how many they were."""
        old = [one for one in self.records.recordings.unfinished() if one.made_at < at - UPLOAD_LASTS]
        for one in old:
            self.records.recordings.erase(one, actor, at)
            self.objects.delete(one.key)
        strays = [key for tenant in self.records.tenants.all() for key in self._strays(tenant.name)]
        for key in strays:
            self.objects.delete(key)
        return len(old) + len(strays)

    def _strays(self, tenant: str) -> list[str]:
        keys = self.objects.keys(f"{tenant}/recordings")  # looked at first: a recording is there before its bytes
        known = {one.key for one in self.records.recordings.listed(tenant) if one.state not in OVER}
        return [key for key in keys if key not in known]


def _check_open(recording: Recording) -> None:
    if recording.state != "uploading":
        message = f"Recording {recording.id} is {recording.state}, and takes no parts any more."
        raise ConflictError(message, "Begin another, with a manifest of its own.")
