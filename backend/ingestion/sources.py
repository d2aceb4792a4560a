"""Turns the arguments of an ingest into files to take in: folders, prefixes of buckets, lists, manifests, files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from backend.errors import InvalidRequest, SonicaError, UnreadableFile
from backend.ingestion.manifests import MANIFEST_SUFFIXES, manifest_rows
from backend.ingestion.places import OBJECTS, local_path, resolved
from backend.models import SongDetails, StoredObject
from backend.ports import ObjectStore

LIST_SUFFIXES = frozenset({".txt", ".lst"})
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aifc", ".aiff", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus"}
    | {".wav", ".wave", ".weba", ".webm"}
)
BLANK = SongDetails(external_id="", title="")


@dataclass(frozen=True, slots=True)
class Item:
    """A file or object to take in and what is stated about it: blank (empty, None) is what nobody stated."""

    uri: str  # file:///absolute/path or s3://bucket/key
    details: SongDetails = BLANK
    stored: StoredObject | None = None  # the object, where a listing or an event told of it

    @property
    def path(self) -> Path | None:
        """The file's absolute path, None for an object."""
        return local_path(self.uri)

    @property
    def shown(self) -> str:
        """What people know it by."""
        return str(self.path or self.uri)

    @property
    def stem(self) -> str:
        """Its name without folders and suffix."""
        return (self.path or PurePosixPath(self.uri.removeprefix(OBJECTS))).stem


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something among the sources that names no file: a row of a manifest, a folder that cannot be read."""

    where: str
    error: SonicaError


def items(arguments: Iterable[str], objects: ObjectStore | None = None) -> Iterator[Item | Flaw]:
    """Yield what the arguments name, in the order given, folders and buckets in the order of names; constant memory.

    Raises InvalidRequest at once for an argument that does not exist or is of no kind that is read.
    """
    named = [_argument(argument, objects) for argument in arguments]
    return _all(named, objects)


def is_audio(key: str) -> bool:
    """Say whether a key's suffix is one of audio, and nothing in it hidden."""
    path = PurePosixPath(key)
    return path.suffix.lower() in AUDIO_SUFFIXES and not any(part.startswith(".") for part in path.parts)


def _argument(argument: str, objects: ObjectStore | None) -> str:
    if argument.startswith(OBJECTS):
        if objects is None or PurePosixPath(argument).suffix.lower() in MANIFEST_SUFFIXES | LIST_SUFFIXES:
            raise InvalidRequest(f"{argument}: lists and manifests are read from this machine: copy it here")
        return argument
    uri = resolved(argument, Path.cwd())
    path = local_path(uri)
    if path is None or not path.exists():
        raise InvalidRequest(f"{argument} does not exist")
    return uri


def _all(named: list[str], objects: ObjectStore | None) -> Iterator[Item | Flaw]:
    with closing(_StatedIds()) as stated:
        for uri in named:
            path = local_path(uri)
            if path is None:
                assert objects is not None  # _argument has seen to it
                yield from _bucket(objects, uri)
                continue
            try:
                yield from _one(path, stated)
            except OSError as error:
                yield Flaw(str(path), UnreadableFile(f"{error.strerror or error}"))


def _one(path: Path, stated: _StatedIds) -> Iterator[Item | Flaw]:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _folder(path)
    if suffix in LIST_SUFFIXES:
        return _list(path)
    if suffix in MANIFEST_SUFFIXES:
        return _manifest(path, stated)
    return iter([Item(path.as_uri())])


def _bucket(objects: ObjectStore, prefix_uri: str) -> Iterator[Item]:
    """Yield the audio objects whose URIs begin so, told by suffix, as `_folder` does."""
    for found in objects.list(prefix_uri):
        if is_audio(found.key):
            yield Item(found.uri, stored=found)


def _folder(folder: Path) -> Iterator[Item | Flaw]:
    """Yield the audio files below a folder, told by suffix; hidden files and folders are passed over."""
    flaws: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=flaws.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield Item(Path(parent, name).as_uri())
    for flaw in flaws:
        yield Flaw(str(flaw.filename), UnreadableFile(f"{flaw.strerror}"))


def _list(path: Path) -> Iterator[Item | Flaw]:
    """Yield the files that a list names, a path or URI a line, relative ones from the list's folder."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if named := line.rstrip("\r\n"):
                try:
                    yield Item(resolved(named, path.parent))
                except InvalidRequest as error:
                    yield Flaw(f"{path}, line {number}", error)


def _manifest(path: Path, stated: _StatedIds) -> Iterator[Item | Flaw]:
    for row in manifest_rows(path):
        where = f"{path}, line {row.line}"
        if isinstance(row.read, SonicaError):
            yield Flaw(where, row.read)
            continue
        uri, details = row.read
        earlier = stated.before(details.external_id, where) if details.external_id else None
        if earlier is not None:
            yield Flaw(where, InvalidRequest(f"external_id {details.external_id!r} was given before: {earlier}"))
        else:
            yield Item(uri, details)


class _StatedIds:
    """Where manifests gave each external id: a second row would replace the first. On disk, as they may be millions."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # "": a file that is unlinked
        self._table.execute("pragma journal_mode = off")
        self._table.execute("create table stated (external_id text primary key, place blob) without rowid")
        self._table.execute("begin")

    def before(self, external_id: str, place: str) -> str | None:
        """Return the place that gave this id before; None, and keep this one, when there is none."""
        row = (external_id, place.encode("utf-8", "surrogateescape"))
        added = self._table.execute("insert or ignore into stated values (?, ?)", row)
        if added.rowcount:
            return None
        found = self._table.execute("select place from stated where external_id = ?", (external_id,))
        return bytes(found.fetchone()[0]).decode("utf-8", "surrogateescape")

    def close(self) -> None:
        """Remove the table."""
        self._table.close()
