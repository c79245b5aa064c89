"""The public keys of a zone's audit log and its witnesses, from the zone's folder."""

from __future__ import annotations

import asyncio

from carcloud.errors import InputError, MissingError
from carcloud.safety.audit.note import LOG, Key, origin_of, parse_checkpoint, parse_key, parse_note
from carcloud.safety.signer import load_public_key
from carcloud.settings import Folder, Settings


def log_key(folder: Folder) -> Key:
    """Return the key of a zone's log, under the origin that its checkpoint names."""
    public = load_public_key(folder.keys / "checkpoint.pub").public_bytes_raw()
    try:
        origin = parse_checkpoint(parse_note(checkpoint_of(folder)).text).origin
    except InputError:
        known = folder.witness / "log.pub"  # where the checkpoint is no more, the witness still knows the name
        if not known.exists():
            raise
        origin = parse_key(known.read_text()).name
    return Key(origin, LOG, public)


async def key_of_log(folder: Folder, settings: Settings) -> Key:
    """Return the key of the log that the zone's settings ask for, once the signer has made it."""
    while True:
        try:
            public = load_public_key(folder.keys / "checkpoint.pub")
            return Key(origin_of(settings.zone), LOG, public.public_bytes_raw())
        except InputError:
            await asyncio.sleep(0.1)


def witness_keys(folder: Folder, settings: Settings) -> list[Key]:
    """Return the keys of a zone's witnesses, its own first."""
    own = folder.witness / "witness.pub"
    texts = [own.read_text()] if own.exists() else []
    return [parse_key(text) for text in (*texts, *(text.partition(" ")[2] for text in settings.audit.witnesses))]


def known_keys(folder: Folder, settings: Settings) -> list[Key]:
    """Return the key of a zone's log, then those of its witnesses."""
    return [log_key(folder), *witness_keys(folder, settings)]


def checkpoint_of(folder: Folder) -> bytes:
    """Return the newest checkpoint; raise MissingError before the first."""
    try:
        return (folder.audit / "checkpoint").read_bytes()
    except FileNotFoundError:
        raise MissingError(f"There is no audit log in {folder.path} yet.", "Start the zone once.") from None
