"""Files of bundles on this machine: downloaded in parts side by side, gone on with after a break, believed by hash."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from backend.bundles.manifest import BundleFile
from backend.bundles.store import PART_BYTES, BundleStore
from backend.errors import BundleRefused, StorageUnavailable

_PARTIAL = ".partial"
_DONE = ".parts"  # numbers of the parts that the partial file has, 4 bytes each


class Downloads:
    """The files of one folder, by their hashes; processes take turns."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        """threads: parts that are downloaded at a time."""
        self._folder = folder
        self._threads = threads

    def fetch(self, store: BundleStore, files: Collection[BundleFile]) -> dict[str, Path]:
        """Return where the files are, by name, after their hashes were found right; what is missing is downloaded.

        Raises BundleRefused for files that are not what they should be, StorageUnavailable, UnavailableError.
        """
        with self._alone():
            missing = [file for file in files if not self._is_here(file)]
            for file in missing:
                store.check_size(file)
            self._check_space(missing)
            for file in missing:
                self._download(store, file)
            return self._places(files)

    def held(self, files: Collection[BundleFile]) -> dict[str, Path] | None:
        """Return where the files are, by name, if all are here and right."""
        with self._alone():
            return self._places(files) if all(map(self._is_here, files)) else None

    def keep_only(self, files: Collection[BundleFile]) -> None:
        """Delete all others."""
        kept = {file.sha256 for file in files}
        with self._alone():
            for path in self._folder.iterdir():
                if not path.name.startswith(".") and path.name.partition(".")[0] not in kept:
                    path.unlink(missing_ok=True)

    def _places(self, files: Collection[BundleFile]) -> dict[str, Path]:
        return {file.name: self._folder / file.sha256 for file in files}

    def _is_here(self, file: BundleFile) -> bool:
        path = self._folder / file.sha256
        if not path.exists():
            return False
        if path.stat().st_size == file.bytes and _sha256(path) == file.sha256:
            return True
        path.unlink()
        return False

    def _check_space(self, missing: Collection[BundleFile]) -> None:
        needed = sum(file.bytes - self._partial_bytes(file) for file in missing)
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise StorageUnavailable(f"the bundle takes {needed:,} bytes in {self._folder}, {free:,} are free")

    def _partial_bytes(self, file: BundleFile) -> int:
        partial = self._folder / f"{file.sha256}{_PARTIAL}"
        return partial.stat().st_blocks * 512 if partial.exists() else 0

    def _download(self, store: BundleStore, file: BundleFile) -> None:
        partial, done = (self._folder / f"{file.sha256}{suffix}" for suffix in (_PARTIAL, _DONE))
        had = frozenset(_numbers(done)) if partial.exists() else frozenset()
        self._take_parts(store, file, partial, done, had)
        if had and _sha256(partial) != file.sha256:  # a machine that stopped short has not written all that it noted
            self._take_parts(store, file, partial, done, frozenset())
        done.unlink()
        if _sha256(partial) != file.sha256:
            partial.unlink()
            raise BundleRefused(f"the file {file.name} is not the one of the manifest: its hash is another")
        partial.rename(self._folder / file.sha256)

    def _take_parts(self, store: BundleStore, file: BundleFile, partial: Path, done: Path, had: frozenset[int]) -> None:
        wanted = [number for number in range(-(-file.bytes // PART_BYTES)) if number not in had]
        with partial.open("r+b" if had else "w+b") as body, done.open("ab" if had else "wb", buffering=0) as log:
            body.truncate(file.bytes)

            def take(number: int) -> None:
                start = number * PART_BYTES
                part = store.read_range(file, start, min(start + PART_BYTES, file.bytes))
                os.pwrite(body.fileno(), part, start)
                log.write(number.to_bytes(4, "little"))

            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(take, wanted))
            os.fsync(body.fileno())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
                yield
        except OSError as error:
            raise StorageUnavailable(f"{self._folder} cannot be written: {error.strerror or error}") from error


def _numbers(path: Path) -> Iterator[int]:
    body = path.read_bytes() if path.exists() else b""
    for start in range(0, len(body) - 3, 4):
        yield int.from_bytes(body[start : start + 4], "little")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
