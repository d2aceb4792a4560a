"""The audio of songs in S3: looked up, listed, and downloaded to files that end with their user."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from backend.errors import InvalidRequest
from backend.models import StoredObject
from backend.objects.bucket import Bucket
from backend.objects.client import open_client
from backend.settings import Settings

THREADS = 16  # downloads side by side: S3 gives 50 to 100 MB/s to each, the rest is waiting
_PREFIX = "sonica-originals-"
_LEFT_SECONDS = 86_400  # older files are of a process that was killed

T = TypeVar("T")


class Originals:
    """Implements ObjectStore."""

    def __init__(self, client: Any, folder: Path, *, bytes_max: int) -> None:  # noqa: ANN401 - see open_client
        self._client = client
        self._folder = folder
        self._bytes_max = bytes_max
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Originals]:
        """Have a folder for downloads, which is gone in the end."""
        _sweep()
        client = open_client("s3", settings)
        with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
            store = cls(client, Path(folder), bytes_max=settings.song_bytes_max)
            try:
                yield store
            finally:
                store._threads.shutdown(cancel_futures=True)

    async def head(self, uri: str) -> StoredObject | None:
        """Return what is known of an object without reading it, None when there is none."""
        bucket, key = self._place(uri)
        return await self._waited(lambda: bucket.head(key))

    async def fetch(self, uri: str) -> tuple[Path, StoredObject]:
        """Write an object to a new file, which is the caller's to delete.

        Raises ObjectNotFound, ObjectChanged, ObjectTooLarge beyond SONICA_SONG_BYTES_MAX.
        """
        bucket, key = self._place(uri)
        return await self._waited(lambda: self._downloaded(bucket, key))

    def list(self, prefix_uri: str) -> Iterator[StoredObject]:
        """Yield the objects whose URIs begin so, in the order of keys; blocks."""
        bucket, prefix = self._place(prefix_uri)
        return bucket.list(prefix)

    def _downloaded(self, bucket: Bucket, key: str) -> tuple[Path, StoredObject]:
        self._folder.mkdir(exist_ok=True)  # whoever tidies /tmp up takes folders that are days old
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            path = Path(file.name)
        return path, bucket.download(key, path, bytes_max=self._bytes_max)

    def _place(self, uri: str) -> tuple[Bucket, str]:
        name, _, key = uri.removeprefix("s3://").partition("/")
        if not name or not uri.startswith("s3://"):
            raise InvalidRequest(f"{uri} is not of the form s3://bucket/key")
        return Bucket(name, self._client), key

    async def _waited(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        for file in folder.glob("*"):
            if time.time() - file.stat().st_mtime > _LEFT_SECONDS:
                file.unlink(missing_ok=True)
