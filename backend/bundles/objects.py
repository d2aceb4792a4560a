"""Where bundles lie: what is asked of a store of objects, one in a folder, and one in a bucket of S3."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from backend.errors import InvalidRequest, ObjectChanged, ObjectNotFound, ObjectTooLarge, StorageUnavailable

if TYPE_CHECKING:
    from backend.objects.bucket import Bucket
    from backend.settings import Settings

_PARTIAL = ".partial-"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Listed:
    """An object, without its content."""

    key: str
    bytes: int
    modified_at: float  # seconds since 1970


class Objects(Protocol):
    """Objects by key; each is written whole or not at all. Every method raises UnavailableError."""

    def read(self, key: str, *, bytes_max: int) -> tuple[bytes, str] | None:
        """Return an object and the tag of this version of it, or of one before; None where there is none.

        Raises ObjectTooLarge.
        """

    def size(self, key: str) -> int | None:
        """Return how many bytes an object has; None where there is none."""

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes from start up to end, which are there; raises ObjectNotFound."""

    def write(self, key: str, body: bytes) -> None:
        """Write an object, in place of one that is there."""

    def write_file(self, key: str, path: Path) -> None:
        """Write a file, in place of an object that is there."""

    def write_if(self, key: str, body: bytes, *, tag: str | None) -> bool:
        """Write an object if it still has this tag, or, for None, if there is none; say whether it was so."""

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose keys start so."""

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""


class FolderObjects:
    """Implements Objects in a folder; several processes of one machine may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str, *, bytes_max: int) -> tuple[bytes, str] | None:
        """Return an object and the tag of this version of it; None where there is none."""
        size = self.size(key)
        if size is None:
            return None
        if size > bytes_max:
            raise ObjectTooLarge(f"{self._path(key)} has {size} bytes, {bytes_max} at most are read")
        body = self.read_range(key, 0, size)
        return body, _tag(body)

    def size(self, key: str) -> int | None:
        """Return how many bytes an object has; None where there is none."""
        with _reporting():
            try:
                return self._path(key).stat().st_size
            except FileNotFoundError:
                return None

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes from start up to end, which are there; raises ObjectNotFound."""
        with _reporting():
            try:
                with self._path(key).open("rb") as file:
                    file.seek(start)
                    return file.read(end - start)
            except FileNotFoundError:
                raise ObjectNotFound(f"there is no {self._path(key)}") from None

    def write(self, key: str, body: bytes) -> None:
        """Write an object, in place of one that is there."""
        with _reporting(), self._replacing(key) as partial:
            partial.write_bytes(body)

    def write_file(self, key: str, path: Path) -> None:
        """Write a file, in place of an object that is there."""
        with _reporting(), self._replacing(key) as partial:
            shutil.copyfile(path, partial)

    def write_if(self, key: str, body: bytes, *, tag: str | None) -> bool:
        """Write an object if it still has this tag, or, for None, if there is none; say whether it was so."""
        with _reporting(), self._alone():
            try:
                present = _tag(self._path(key).read_bytes())
            except FileNotFoundError:
                present = None
            if present != tag:
                return False
            self.write(key, body)
            return True

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose keys start so."""
        with _reporting():
            for path in sorted(self._path(prefix.rpartition("/")[0]).rglob("*")):
                key = path.relative_to(self._folder).as_posix()
                if key.startswith(prefix) and not path.name.startswith(".") and path.is_file():
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        state = path.stat()
                        yield Listed(key, state.st_size, state.st_mtime)

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        with _reporting():
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / key

    @contextmanager
    def _replacing(self, key: str) -> Iterator[Path]:
        final = self._path(key)
        final.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_PARTIAL, dir=final.parent)
        partial = Path(name)
        try:
            yield partial
            os.fsync(descriptor)
            partial.chmod(0o644)
            partial.replace(final)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        _sync_folder(final.parent)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
            yield


class BucketObjects:
    """Implements Objects in a bucket, below a prefix."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        """prefix: blank, or with a slash at its end."""
        self._bucket = bucket
        self._prefix = prefix

    def read(self, key: str, *, bytes_max: int) -> tuple[bytes, str] | None:
        """Return an object and the tag of this version of it, or of one before; None where there is none."""
        try:
            known = self._bucket.head(self._prefix + key)
            body = self._bucket.get(self._prefix + key, bytes_max=bytes_max) if known else b""
        except ObjectNotFound:
            return None
        return (body, known.etag) if known else None

    def size(self, key: str) -> int | None:
        """Return how many bytes an object has; None where there is none."""
        known = self._bucket.head(self._prefix + key)
        return known.size_bytes if known else None

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes from start up to end, which are there; raises ObjectNotFound."""
        return self._bucket.get(self._prefix + key, bytes_max=end - start, first=start, count=end - start)

    def write(self, key: str, body: bytes) -> None:
        """Write an object, in place of one that is there."""
        self._bucket.put(self._prefix + key, body)

    def write_file(self, key: str, path: Path) -> None:
        """Write a file, in place of an object that is there."""
        self._bucket.upload(self._prefix + key, path)

    def write_if(self, key: str, body: bytes, *, tag: str | None) -> bool:
        """Write an object if it still has this tag, or, for None, if there is none; say whether it was so.

        It may be said not to be so though it was written: when an answer was lost on its way.
        """
        try:
            self._bucket.put(self._prefix + key, body, if_absent=tag is None, if_etag=tag)
        except (ObjectChanged, ObjectNotFound):  # not found: it was deleted meanwhile
            return False
        return True

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose keys start so."""
        for found in self._bucket.list(self._prefix + prefix):
            modified_at = found.modified_at.timestamp() if found.modified_at else 0.0
            yield Listed(found.key.removeprefix(self._prefix), found.size_bytes, modified_at)

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        self._bucket.delete(self._prefix + key)


def open_objects(url: str, settings: Settings) -> Objects:
    """Return the objects of `s3://bucket/prefix`, `file:///folder` or a folder; raises InvalidRequest."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return FolderObjects(Path(url).expanduser())
    if scheme == "file":
        return FolderObjects(Path(rest))
    name, _, prefix = rest.partition("/")
    if scheme != "s3" or not name:
        raise InvalidRequest(f"SONICA_BUNDLE_URL is {url}: it is s3://bucket/prefix, or a folder")
    from backend.objects.bucket import Bucket

    prefix = prefix.strip("/")
    return BucketObjects(Bucket.open(name, settings), f"{prefix}/" if prefix else "")


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StorageUnavailable(f"the folder of the bundles: {where}{error.strerror or error}") from error


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
