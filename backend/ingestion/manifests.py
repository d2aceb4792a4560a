"""Reads manifests, CSV or JSON lines, a row at a time: which file, and what is known about its song."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from backend.errors import InvalidRequest
from backend.ingestion import facts
from backend.ingestion.places import resolved
from backend.ingestion.tags import readable
from backend.models import SongDetails

COLUMNS = (
    *("uri", "external_id", "title", "artist", "album", "isrc", "language", "genre", "release_date"),
    "popularity_score",
)
MANIFEST_SUFFIXES = frozenset({".csv", ".jsonl", ".ndjson"})

_READERS: dict[str, Callable[[str], object]] = {
    "isrc": facts.isrc,
    "language": facts.language,
    "popularity_score": facts.popularity_score,
    "release_date": facts.release_date,
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a manifest: the file's URI and the details stated, blank where not; or why it cannot be read."""

    line: int
    read: tuple[str, SongDetails] | InvalidRequest


def manifest_rows(path: Path) -> Iterator[Row]:
    """Yield the rows; raises InvalidRequest for a header that is none and for text that is not UTF-8."""
    raw_rows = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            for line, raw in raw_rows(text, path):
                yield Row(line, raw if isinstance(raw, InvalidRequest) else _row(raw, path.parent))
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not UTF-8 text: save it as UTF-8") from error


def details_of(stated: Mapping[str, str]) -> SongDetails:
    """Return what a row's fields state, by column; raises InvalidRequest for a fact that is not of its form."""
    facts_read = {name: _READERS[name](text) for name, text in stated.items() if text and name in _READERS}
    texts = {name: text for name, text in stated.items() if text and name not in _READERS}
    return SongDetails(**{"external_id": "", "title": "", **texts, **facts_read})  # type: ignore[arg-type]


def row_of(raw: Mapping[str, object], folder: Path) -> tuple[str, SongDetails]:
    """Return the URI of a row's file and the details stated, relative paths from the folder; raises InvalidRequest."""
    _check_names(raw, "")
    stated = {name: _text(name, raw.get(name)) for name in COLUMNS}
    uri = resolved(stated.pop("uri"), folder)
    return uri, details_of(stated)


def _csv_rows(text: TextIO, path: Path) -> Iterator[tuple[int, Mapping[str, object] | InvalidRequest]]:
    reader = csv.DictReader(text, strict=True)
    _check_columns(reader.fieldnames or (), path)
    while True:
        try:
            raw = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, InvalidRequest(f"it is not CSV: {error}")
            continue
        # DictReader keeps what no column names under None.
        yield reader.line_num, InvalidRequest("there are more fields than columns") if None in raw else raw


def _check_columns(found: Sequence[str], path: Path) -> None:
    if "uri" not in found:
        raise InvalidRequest(f"{path}, line 1: there is no column uri; a manifest's columns are {','.join(COLUMNS)}")
    _check_names(found, f"{path}, line 1: ")


def _json_rows(text: TextIO, path: Path) -> Iterator[tuple[int, Mapping[str, object] | InvalidRequest]]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, InvalidRequest(f"it is not JSON: {error}")
            continue
        yield number, raw if isinstance(raw, dict) else InvalidRequest("it is not a JSON object")


def _row(raw: Mapping[str, object], folder: Path) -> tuple[str, SongDetails] | InvalidRequest:
    try:
        return row_of(raw, folder)
    except InvalidRequest as error:
        return error


def _check_names(names: Iterable[str], where: str) -> None:
    if unknown := sorted(set(names) - set(COLUMNS)):
        raise InvalidRequest(f"{where}there is no column {', '.join(unknown)}; there are {','.join(COLUMNS)}")


def _text(name: str, value: object) -> str:
    if value is not None and not isinstance(value, str | int | float):
        raise InvalidRequest(f"{name} is not text")
    text = "" if value is None else str(value)
    if name == "uri" and not text:
        raise InvalidRequest("uri is blank")
    return text if name == "uri" else readable(text)
