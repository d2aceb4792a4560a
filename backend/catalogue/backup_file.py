"""The file of a backup: a zip of PostgreSQL's binary rows, a member a table, and a manifest with their hashes.

The manifest is written last, so that a file without it was never finished. Rows are streamed both ways; only a
member's current piece is in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.errors import DamagedBackup, InvalidRequest, StorageUnavailable

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 1_000_000
PIECE_BYTES = 1 << 20
_UNREADABLE = (  # what the standard library's reader meets in a damaged file
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, ValueError, NotImplementedError, RuntimeError,
    OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """What a backup holds of a table: its columns in the order of the rows, and the SHA-256 of their bytes."""

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of; tables are in an order in which they can be filled."""

    format: int
    made_at: str
    catalogue: str
    revision: int
    migrations: tuple[str, ...]
    sequences: dict[str, int]  # the last number given, of those that have given one
    history_months: tuple[str, ...]  # YYYY-MM
    tables: tuple[Table, ...]

    @property
    def songs(self) -> int:
        """How many songs there are."""
        return next((table.rows for table in self.tables if table.name == "songs"), 0)


class BackupWriter:
    """Writes the tables, then the manifest."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    async def add(
        self, name: str, columns: tuple[str, ...], rows: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[int]]
    ) -> Table:
        """Add a table; `rows` hands its bytes to what it is given, and returns how many rows they are."""
        digest = hashlib.sha256()
        # Fingerprints are noise to a compressor.
        member = zipfile.ZipInfo(f"{name}.rows")
        member.compress_type = zipfile.ZIP_STORED if name == "fingerprints" else zipfile.ZIP_DEFLATED
        with self._archive.open(member, "w", force_zip64=True) as file:

            async def write(piece: bytes) -> None:
                digest.update(piece)
                file.write(piece)

            count = await rows(write)
        return Table(name, columns, count, digest.hexdigest())

    def seal(self, manifest: Manifest) -> None:
        """Write the manifest."""
        self._archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))


@contextmanager
def new_backup(path: Path) -> Iterator[BackupWriter]:
    """Write a backup that is in place once it is whole, for its owner's eyes; raises StorageUnavailable."""
    if path.exists():
        raise InvalidRequest(f"{path} is there already: a backup replaces none")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b") as file:
            with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
                yield BackupWriter(archive)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it is in place, or was never there
            partial.unlink()


class BackupReader:
    """Reads a backup; whoever reads a table to its end knows that it is whole."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.manifest = _manifest(archive)

    async def rows(self, table: Table) -> AsyncIterator[bytes]:
        """Yield a table's bytes; raises DamagedBackup, at the latest after the last."""
        digest = hashlib.sha256()
        with _explained(), self._archive.open(f"{table.name}.rows") as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
                yield piece
        if digest.hexdigest() != table.sha256:
            raise DamagedBackup(f"the rows of {table.name} are not those that were backed up")

    async def check(self) -> None:
        """Read all of it; raises DamagedBackup."""
        for table in self.manifest.tables:
            async for _ in self.rows(table):
                pass


@contextmanager
def open_backup(path: Path) -> Iterator[BackupReader]:
    """Open a backup; raises DamagedBackup, and InvalidRequest where there is none."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    with file:
        with _explained():
            reader = BackupReader(zipfile.ZipFile(file))
        yield reader


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    if archive.getinfo(MANIFEST).file_size > MANIFEST_BYTES_MAX:
        raise DamagedBackup("its manifest is none")
    stated = json.loads(archive.read(MANIFEST))
    if stated["format"] != FORMAT:
        raise DamagedBackup(f"it is of format {stated['format']}, this program reads {FORMAT}")
    tables = tuple(Table(**{**table, "columns": tuple(table["columns"])}) for table in stated.pop("tables"))
    migrations, months = tuple(stated.pop("migrations")), tuple(stated.pop("history_months"))
    return Manifest(**stated, migrations=migrations, history_months=months, tables=tables)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise DamagedBackup(f"the backup is damaged or was never finished: {error}") from error
