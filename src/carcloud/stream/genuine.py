"""Whether a chunk is the governor's own: what everyone who reads GOVERNED asks before believing it.

Rules:
* The receipt is signed, and names the hash of everything else in the chunk: number, marks, counts, and rows. So one
  signature and one hash over the compressed bytes tell; the Merkle root, which is dearer, is for the lake's check.
* A chunk that is not the governor's is never taken in, and never passed over: who reads it stops before it. Its number
  is one that the governor is going to use, so whoever passed over it would take it for the governor's.
* The governor alone removes it, keeps it as evidence, and goes on with the number it bore.

Source: RFC 8032 (Ed25519).
"""

from __future__ import annotations

from collections.abc import Callable

from carcloud.errors import ConflictError, InputError
from carcloud.stream.chunk import Record, content_of
from carcloud.stream.receipts import statement

Verify = Callable[[bytes, bytes], bool]
FORGED = "forged_chunk"
FORGED_DO = (
    "Somebody has the cloud's password of the broker: find out who, and start the zone again, which makes new "
    "passwords. Where the keys were replaced instead, restore them from the backup."
)


class ForgedError(ConflictError):
    """A chunk of the governed stream is not the governor's."""


def genuine(data: bytes, partition: int, signed: Verify) -> Record:
    """Return the record of a chunk that the governor signed for this partition.

    `signed(statement, signature)` tells whether the governor's key made the signature.

    Raises:
        ForgedError: the bytes are no chunk, not the governor's, or were changed since.
    """
    try:
        record, found = content_of(data)
        fields, signature = record.receipt["statement"], bytes.fromhex(record.receipt["signature"])
        if not signed(statement(fields), signature):
            raise ForgedError(f"Chunk {record.number} is not signed by this zone's governor.", FORGED_DO)
        if fields["content"] != found or record.partition != partition:
            raise ForgedError(f"Chunk {record.number} is not what the governor signed.", FORGED_DO)
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ForgedError("The governed stream holds something that is no chunk of the governor.", FORGED_DO) from error
    return record
