"""A bucket of S3, or of what speaks its protocol (MinIO): bounded reads, writes that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import stamina

from backend.errors import ObjectChanged, ObjectNotFound, ObjectStoreUnavailable, ObjectTooLarge
from backend.models import StoredObject
from backend.objects.client import open_client, refusal, translated
from backend.settings import Settings

_CHUNK_BYTES = 1 << 20
_DOWNLOAD_ATTEMPTS = 4  # each goes on where the last one broke off
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NoSuchVersion"})
_CHANGED = frozenset({"412", "PreconditionFailed", "ConditionalRequestConflict"})


class Bucket:
    """The objects of one bucket. Every method blocks, may be called from any thread and raises ObjectStoreUnavailable.

    S3 shows an object after its last byte has come, so readers never see half of one, and lists it at once.
    """

    def __init__(self, name: str, client: Any) -> None:  # noqa: ANN401 - see open_client
        self.name = name
        self._client = client

    @classmethod
    def open(cls, name: str, settings: Settings) -> Bucket:
        """Return the bucket; nothing is asked of the service yet."""
        return cls(name, open_client("s3", settings))

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object without reading it, None when there is none."""
        try:
            with self._translated(key):
                return self._stored(key, self._client.head_object(Bucket=self.name, Key=key))
        except ObjectNotFound:
            return None

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """Yield the objects whose keys begin so and sort behind `after`, in the order of keys, a page at a time."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix, StartAfter=after
        )
        with self._translated(prefix):
            for page in pages:
                for found in page.get("Contents", ()):
                    yield _listed(self.name, found)

    def get(self, key: str, *, bytes_max: int, first: int = 0, count: int | None = None) -> bytes:
        """Return an object, or `count` bytes of it from byte `first` on (fewer where it ends).

        Raises ObjectNotFound, ObjectTooLarge beyond bytes_max.
        """
        wanted = "" if first == 0 and count is None else _range(first, count)
        with self._translated(key):
            answer = self._client.get_object(Bucket=self.name, Key=key, **({"Range": wanted} if wanted else {}))
            with closing(answer["Body"]) as body:
                self._check_size(key, answer["ContentLength"], bytes_max)
                return bytes(body.read())

    def download(self, key: str, path: Path, *, bytes_max: int) -> StoredObject:
        """Write an object to a file and return what is known of it; leaves no file when it fails.

        Raises ObjectNotFound, ObjectTooLarge beyond bytes_max, ObjectChanged when it is replaced meanwhile, OSError.
        """
        try:
            with path.open("wb") as file:
                found = self._copy(key, file, bytes_max)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return found

    def put(
        self,
        key: str,
        body: bytes,
        *,
        if_absent: bool = False,
        if_etag: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Write an object and return its etag.

        if_absent: only if there is none; if_etag: only if the present one has this etag. Raises ObjectChanged where
        that does not hold, and also when the object was written by a first attempt whose answer was lost.
        """
        condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": f'"{if_etag}"'} if if_etag else {}
        with self._translated(key):
            answer = self._client.put_object(
                Bucket=self.name, Key=key, Body=body, Metadata=dict(metadata or {}), **condition
            )
        return _bare(answer["ETag"])

    def upload(self, key: str, path: Path) -> None:
        """Write a file of any size as an object, large ones in parts; raises OSError."""
        with self._translated(key):
            self._client.upload_file(str(path), self.name, key)

    def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        with self._translated(key):
            self._client.delete_object(Bucket=self.name, Key=key)

    def _copy(self, key: str, file: BinaryIO, bytes_max: int) -> StoredObject:
        found: StoredObject | None = None
        for attempt in stamina.retry_context(on=ObjectStoreUnavailable, attempts=_DOWNLOAD_ATTEMPTS, timeout=None):
            with attempt, self._translated(key):
                if found and file.tell() == found.size_bytes:  # it broke off behind the last byte
                    return found
                same = {"IfMatch": f'"{found.etag}"', "Range": _range(file.tell(), None)} if found else {}
                answer = self._client.get_object(Bucket=self.name, Key=key, **same)
                with closing(answer["Body"]) as body:
                    found = found or self._stored(key, answer)
                    self._check_size(key, found.size_bytes, bytes_max)
                    for chunk in body.iter_chunks(_CHUNK_BYTES):
                        file.write(chunk)
        assert found is not None
        return found

    def _stored(self, key: str, answer: Mapping[str, Any]) -> StoredObject:
        return StoredObject(
            bucket=self.name,
            key=key,
            size_bytes=answer["ContentLength"],
            etag=_bare(answer["ETag"]),
            modified_at=answer["LastModified"],
            metadata=dict(answer["Metadata"]),
        )

    def _check_size(self, key: str, size_bytes: int, bytes_max: int) -> None:
        if size_bytes > bytes_max:
            raise ObjectTooLarge(f"s3://{self.name}/{key} has {size_bytes} bytes, {bytes_max} at most are read")

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        uri = f"s3://{self.name}/{key}"
        try:
            with translated(ObjectStoreUnavailable, uri):
                yield
        except ObjectStoreUnavailable as error:
            if (code := refusal(error.__cause__)) in _NOT_FOUND:
                raise ObjectNotFound(f"there is no {uri}") from error
            if code in _CHANGED:
                raise ObjectChanged(f"{uri} was changed meanwhile") from error
            raise


def _listed(bucket: str, found: Mapping[str, Any]) -> StoredObject:
    return StoredObject(
        bucket, found["Key"], size_bytes=found["Size"], etag=_bare(found["ETag"]), modified_at=found["LastModified"]
    )


def _range(first: int, count: int | None) -> str:
    return f"bytes={first}-{'' if count is None else first + count - 1}"


def _bare(etag: str) -> str:
    return etag.strip('"')
