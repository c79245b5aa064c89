"""The keys of backups: one a calendar month, in a folder of their own, outside the zone and outside the backups.

Rules:
* A month's key is made when its first backup is taken. Destroying it destroys all backups of that month, wherever
  copies of them lie.
* Beside the keys lie the zone's public keys, from its first backup on: what is put in a backup's place was not signed
  by them. So the folder is one zone's.

Source: NIST SP 800-88r1, section 2.5 (cryptographic erase).
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from carcloud.backends.files import flush
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.safety.keys import private_folder, read_key, read_or_make_key, write_file
from carcloud.safety.signer import Kind, load_public_key, verify

KEY_BYTES = 32
PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
PUBLIC: tuple[Kind, ...] = ("backup", "ledger")


class Periods:
    """The keys in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, period: str) -> bytes:
        """Return a period's key; raise MissingError where it is none, or was destroyed."""
        try:
            return read_key(self._file(period))
        except FileNotFoundError:
            do = "Give the right folder with --keys. Where the key was destroyed, so are the period's backups."
            raise MissingError(f"{self.folder} has no key of {period}.", do) from None

    def made(self, period: str) -> bytes:
        """Return a period's key, made on first use, for its owner only."""
        try:
            private_folder(self.folder)
            return read_or_make_key(self._file(period), lambda: os.urandom(KEY_BYTES))
        except OSError as error:
            raise InputError(f"{self.folder} cannot hold keys: {error.strerror}.", "Give another folder.") from None

    def all(self) -> list[str]:
        """Return the periods whose keys are here, the oldest first."""
        return sorted(file.stem for file in self.folder.glob("*.key") if PERIOD.fullmatch(file.stem))

    def destroy(self, period: str) -> None:
        """Destroy a period's key. Raise MissingError where there is none."""
        self.key(period)
        file = self._file(period)
        with file.open("r+b") as sink:
            sink.write(os.urandom(KEY_BYTES))
            sink.flush()
            os.fsync(sink.fileno())
        file.unlink()
        flush(self.folder)

    def know(self, keys: Path) -> None:
        """Keep the public keys of the zone whose keys these are; raise ConflictError where they are another zone's."""
        for kind in PUBLIC:
            kept, mine = self.folder / f"{kind}.pub", (keys / f"{kind}.pub").read_bytes()
            if not kept.exists():
                write_file(kept, mine, 0o644)
            elif kept.read_bytes() != mine:
                do = "Give this zone a folder of its own for the keys of its backups."
                raise ConflictError(f"The keys in {self.folder} are those of another zone's backups.", do)

    def of(self, keys: Path) -> bool:
        """Tell whether these are keys of the backups of the zone whose keys lie there."""
        files = [(self.folder / f"{kind}.pub", keys / f"{kind}.pub") for kind in PUBLIC]
        return all(kept.exists() and mine.exists() and kept.read_bytes() == mine.read_bytes() for kept, mine in files)

    def signed(self, kind: Kind, payload: bytes, signature: bytes) -> bool:
        """Tell whether the zone's signer signed this. Raise InputError where its public key is not here."""
        return verify(load_public_key(self.folder / f"{kind}.pub"), kind, payload, signature)

    def _file(self, period: str) -> Path:
        if not PERIOD.fullmatch(period):
            raise InputError(f"{period[:64]!r} is no period.", "Write year and month, such as 2026-11.")
        return self.folder / f"{period}.key"


def name_of(key: bytes) -> str:
    """Return what a manifest calls a period's key: 16 hexadecimal digits that tell nothing of it."""
    return hashlib.sha256(b"carcloud/backup/period/v1\n" + key).hexdigest()[:16]
