"""What a file is before it is decoded: whether it can be read, whether it changed, the hash of its bytes."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from backend.errors import UnreadableFile
from backend.models import IngestFailure


@dataclass(frozen=True, slots=True)
class FileState:
    """Size and time of change: when both are what they were, the file or object is taken to be the same."""

    size_bytes: int
    modified_at: datetime

    @classmethod
    def of_failure(cls, failure: IngestFailure) -> FileState | None:
        """Return the state in which the file failed, None when it could not even be read."""
        if failure.size_bytes is None or failure.modified_at is None:
            return None
        return cls(failure.size_bytes, failure.modified_at)


def state_of(path: Path) -> FileState:
    """Return the state of a regular file; raises UnreadableFile for all else (a pipe would block)."""
    try:
        found = path.stat()
    except OSError as error:
        raise UnreadableFile(f"{error.strerror or error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFile("it is not a file")
    return FileState(found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, hex; raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableFile(f"{error.strerror or error}") from error
