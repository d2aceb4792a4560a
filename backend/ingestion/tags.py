"""What a file says about itself: its tags fill what nobody stated, its name is the last resort."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

from tinytag import TinyTag, TinyTagException

from backend.errors import InvalidRequest
from backend.ingestion import facts
from backend.models import SongDetails

_TRACK_NUMBER = re.compile(r"^\d{1,3}(\.|\s+-)\s+(?=\S)")


def described(details: SongDetails, path: Path, *, stem: str | None = None) -> SongDetails:
    """Return the details with blanks (None, no title) filled from the file's tags, then from its name.

    stem: the name without its suffix, where the file at `path` is a copy under another one.
    """
    return filled(filled(details, _from_tags(path)), _from_name(path.stem if stem is None else stem))


def filled(details: SongDetails, found: Mapping[str, object]) -> SongDetails:
    """Return the details with blanks (empty, None, 0) filled from what was found, by column."""
    blank = {field.name for field in fields(details) if not getattr(details, field.name)}
    return replace(details, **{name: value for name, value in found.items() if name in blank and value})  # type: ignore[arg-type]


def readable(text: str) -> str:
    """Return text that can be shown and stored: bytes that are not UTF-8 replaced, NULs dropped, trimmed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", " ").strip()


def _from_tags(path: Path) -> dict[str, object]:
    try:
        tags = TinyTag.get(path, duration=False)
    except (TinyTagException, OSError):
        return {}  # of a format that has no tags, or damaged ones
    return {
        "title": _text(tags.title),
        "artist": _text(tags.artist),
        "album": _text(tags.album),
        "genre": _text(tags.genre),
        "isrc": _fact(facts.isrc, _first(tags.other.get("isrc"))),
        "language": _fact(facts.language, _first(tags.other.get("language"))),
        "release_date": _fact(facts.release_date, (tags.year or "")[:10]),
    }


def _from_name(stem: str) -> dict[str, object]:
    name = _TRACK_NUMBER.sub("", readable(stem))
    artist, _, title = (part.strip() for part in name.partition(" - "))
    if artist and title:
        return {"artist": artist, "title": title}
    return {"title": name}


def _fact(read: Callable[[str], object], text: str | None) -> object | None:
    try:
        return read(readable(text)) if text else None
    except InvalidRequest:
        return None  # tags are full of oddities; only a manifest is held to the form


def _text(text: str | None) -> str | None:
    return readable(text) if text else None


def _first(values: list[str] | None) -> str | None:
    return values[0] if values else None
