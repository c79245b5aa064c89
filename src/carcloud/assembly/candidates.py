"""Who signs candidates: the zone's signer where it runs; beside a stopped zone, its key files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from carcloud.errors import TryLaterError
from carcloud.safety.signer import Signature, Signer, SignerClient
from carcloud.settings import Folder, Settings


@contextmanager
def signer_of(settings: Settings, folder: Folder) -> Iterator[Callable[[bytes], Signature]]:
    """Yield what signs a candidate's statement as the zone."""
    with closing(SignerClient(folder.run)) as client:

        def sign(payload: bytes) -> Signature:
            try:
                return client.sign("candidate", payload)
            except TryLaterError:
                return Signer(folder.keys, folder.run, settings.zone).sign("candidate", payload)

        yield sign
