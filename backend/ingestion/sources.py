"""Turns the arguments of an ingest into files to take in: folders, list files, manifests, single files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.errors import InvalidRequest, SonicaError, UnreadableFile
from backend.ingestion.manifests import MANIFEST_SUFFIXES, manifest_rows, resolved
from backend.models import SongDetails

LIST_SUFFIXES = frozenset({".txt", ".lst"})
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aifc", ".aiff", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus"}
    | {".wav", ".wave", ".weba", ".webm"}
)


@dataclass(frozen=True, slots=True)
class Item:
    """A file to take in and what is stated about it: blank (empty, None) is what nobody stated."""

    path: Path  # absolute
    details: SongDetails


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something among the sources that names no file: a row of a manifest, a folder that cannot be read."""

    where: str
    error: SonicaError


def items(arguments: Iterable[str]) -> Iterator[Item | Flaw]:
    """Yield what the arguments name, in the order given, folders in the order of names.

    Raises InvalidRequest at once for an argument that does not exist or is of no kind that is read.
    """
    paths = [_argument(argument) for argument in arguments]
    return _all(paths)


def _all(paths: list[Path]) -> Iterator[Item | Flaw]:
    stated_at: dict[str, str] = {}  # where manifests gave each external id: the second would replace the first
    for path in paths:
        try:
            yield from _one(path, stated_at)
        except OSError as error:
            yield Flaw(str(path), UnreadableFile(f"{error.strerror or error}"))


def _one(path: Path, stated_at: dict[str, str]) -> Iterator[Item | Flaw]:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _folder(path)
    if suffix in LIST_SUFFIXES:
        return _list(path)
    if suffix in MANIFEST_SUFFIXES:
        return _manifest(path, stated_at)
    return iter([_item(path)])


def _argument(argument: str) -> Path:
    path = resolved(argument, Path.cwd())
    if not path.exists():
        raise InvalidRequest(f"{argument} does not exist")
    return path


def _folder(folder: Path) -> Iterator[Item | Flaw]:
    """Yield the audio files below a folder, told by suffix; hidden files and folders are passed over."""
    flaws: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=flaws.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield _item(Path(parent, name))
    for flaw in flaws:
        yield Flaw(str(flaw.filename), UnreadableFile(f"{flaw.strerror}"))


def _list(path: Path) -> Iterator[Item | Flaw]:
    """Yield the files that a list names, a path a line, relative ones from the list's folder."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if named := line.rstrip("\r\n"):
                try:
                    yield _item(resolved(named, path.parent))
                except InvalidRequest as error:
                    yield Flaw(f"{path}, line {number}", error)


def _manifest(path: Path, stated_at: dict[str, str]) -> Iterator[Item | Flaw]:
    for row in manifest_rows(path):
        where = f"{path}, line {row.line}"
        if isinstance(row.read, SonicaError):
            yield Flaw(where, row.read)
            continue
        file, details = row.read
        earlier = stated_at.setdefault(details.external_id, where) if details.external_id else where
        if earlier != where:
            yield Flaw(where, InvalidRequest(f"external_id {details.external_id!r} was given before: {earlier}"))
        else:
            yield Item(file, details)


def _item(path: Path) -> Item:
    return Item(path, SongDetails(external_id="", title=""))
