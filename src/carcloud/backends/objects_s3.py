"""Objects in S3, or a store that speaks it.

Rules:
* Parts are objects of their own, so that an upload goes on whoever begins again; joined, they become one.
* The store's key is read from the environment by the client library.

Source: Amazon S3 API reference, UploadPart (a part of a multipart upload has 5 MiB at least, except the last).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from carcloud.backends.objects import PIECE_BYTES, ObjectSettings, checked, part_name, parts_of
from carcloud.errors import InputError, MissingError, TryLaterError

WRITTEN_BYTES = 8 << 20
"""What goes to the store at once while parts are joined; two of them are under way at a time."""
PATIENCE_S = 60


class S3Objects:
    """The objects below a bucket, or a prefix in one.

    Raises:
        InputError: the address names no bucket.
    """

    def __init__(self, settings: ObjectSettings) -> None:
        given = {"endpoint": settings.endpoint, "region": settings.region}
        options: Any = {"timeout": f"{PATIENCE_S}s", "allow_http": settings.endpoint.startswith("http://")}
        try:
            config: Any = {name: value for name, value in given.items() if value}
            self._store = S3Store.from_url(settings.url, config=config, client_options=options)
        except (BaseError, ValueError) as error:
            raise InputError(f"{settings.url} names no bucket: {_reason(error)}.", "Write s3://BUCKET.") from None

    def put_part(self, key: str, number: int, data: bytes) -> None:
        """Keep a part; raise as `Objects.put_part`."""
        with _told(key):
            obstore.put(self._store, part_name(key, number), data)

    def parts(self, key: str) -> dict[int, int]:
        """Return the parts that are there: number → bytes."""
        return {int(name.rsplit("/", 1)[1]): size for name, size in self._listed(parts_of(key))}

    def join(self, key: str) -> str:
        """Make the object of its parts; return its SHA-256; raise as `Objects.join`."""
        numbers, told = sorted(self.parts(key)), hashlib.sha256()
        if not numbers:
            raise _missing(key)
        with _told(key):
            sink = obstore.open_writer(self._store, checked(key), buffer_size=WRITTEN_BYTES, max_concurrency=2)
            for number in numbers:
                for piece in self._stream(part_name(key, number), 0, None):
                    told.update(piece)
                    sink.write(piece)
            sink.close()  # an object that this is never said of is none
        return told.hexdigest()

    def drop_parts(self, key: str) -> None:
        """Delete the parts; the object stays."""
        names = [name for name, _ in self._listed(parts_of(key))]
        if names:
            with _told(key):
                obstore.delete(self._store, names)

    def size(self, key: str) -> int | None:
        """Return the object's bytes; None where there is none."""
        try:
            with _told(key):
                return int(obstore.head(self._store, checked(key))["size"])
        except MissingError:
            return None

    def read(self, key: str, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes; raise as `Objects.read`."""
        size = self.size(key)
        if size is None:
            raise _missing(key)
        last = size if end is None else min(end, size)
        return self._stream(key, begin, last) if begin < last else iter(())

    def fetch(self, key: str, begin: int, end: int, path: Path) -> None:
        """Write a stretch of the object to a new file."""
        pieces = self.read(key, begin, end)
        try:
            with path.open("xb") as sink:
                sink.writelines(pieces)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise TryLaterError(f"An object cannot be fetched: {error.strerror}.", "Make room on the disk.") from error

    def delete(self, key: str) -> None:
        """Delete the object and its parts."""
        self.drop_parts(key)
        with contextlib.suppress(MissingError), _told(key):
            obstore.delete(self._store, checked(key))

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all objects below a prefix."""
        return sorted({name.partition(".parts/")[0] for name, _ in self._listed(f"{checked(prefix)}/")})

    def _stream(self, name: str, begin: int, end: int | None) -> Iterator[bytes]:
        options: Any = None if end is None else {"range": (begin, end)}
        with _told(name):
            for piece in obstore.get(self._store, name, options=options).stream(min_chunk_size=PIECE_BYTES):
                yield bytes(piece)

    def _listed(self, prefix: str) -> list[tuple[str, int]]:
        with _told(prefix):
            found = obstore.list(self._store, prefix.rstrip("/")).collect()
        return [(one["path"], int(one["size"])) for one in found if one["path"].startswith(prefix)]


def _missing(key: str) -> MissingError:
    return MissingError(f"There is no object {key}.", "Send its parts first.")


def _reason(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200].rstrip(".")


@contextlib.contextmanager
def _told(key: str) -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except FileNotFoundError:
        raise _missing(key) from None
    except (BaseError, OSError) as error:
        do = "Try again; if it stays so, check the address, the bucket and the key in the environment."
        raise TryLaterError(f"The object store cannot be reached: {_reason(error)}.", do) from error
