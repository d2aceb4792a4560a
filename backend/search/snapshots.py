"""Index snapshots on disk: written beside the old one, renamed into place, checked by hash before they are believed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

KEPT = 2  # the newest, and the one before in case the newest is damaged
NAMES = "[0-9]*"  # nanoseconds since 1970: the newest sorts last
PARTIAL = ".partial-"
PARTIAL_SECONDS_MAX = 3600  # older leftovers are of a writer that was killed
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot holds; hashes are SHA-256 by file name."""

    fingerprint_version: int
    catalogue: str  # the change log's name
    revision: int
    segments: int
    kind: str  # how the vectors are kept
    hashes: dict[str, str] = field(default_factory=dict)


class SnapshotStore:
    """The snapshots of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self) -> tuple[Path, Manifest] | None:
        """Return the newest snapshot that is whole."""
        for path in sorted(self._folder.glob(NAMES), reverse=True):
            manifest = _whole(path)
            if manifest is not None:
                return path, manifest
        return None

    def write(self, manifest: Manifest, files: Callable[[Path], None]) -> Path:
        """Let `files` write into a new folder, seal it, put it in place and drop the oldest."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self._folder))
        try:
            files(partial)
            hashes = {path.name: _sha256(path) for path in sorted(partial.iterdir())}
            (partial / MANIFEST).write_text(json.dumps(asdict(replace(manifest, hashes=hashes)), indent=1))
            for path in [*partial.iterdir(), partial]:
                _fsync(path)
            final = self._folder / f"{time.time_ns():020d}"
            partial.rename(final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _fsync(self._folder)
        for old in sorted(self._folder.glob(NAMES))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def _sweep(self) -> None:
        for partial in self._folder.glob(f"{PARTIAL}*"):
            with suppress(FileNotFoundError):  # another process has just put it in place
                if time.time() - partial.stat().st_mtime > PARTIAL_SECONDS_MAX:
                    shutil.rmtree(partial, ignore_errors=True)


def _whole(path: Path) -> Manifest | None:
    try:
        manifest = Manifest(**json.loads((path / MANIFEST).read_text()))
        if all(_sha256(path / name) == digest for name, digest in manifest.hashes.items()):
            return manifest
    except (OSError, ValueError, TypeError):
        pass
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
