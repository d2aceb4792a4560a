"""Decides what a new song means to a catalogue: no song is in it twice, none of its sounds is lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

from backend.errors import InvalidRequest
from backend.models import NewSong, Song, SongDetails


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be done: `song_id` (None: a new one) gets `details` unless the outcome is duplicate.

    sounds_new: the fingerprint is to be stored too.
    superseded: songs of another fingerprint version that turned out to be this one; to be deleted.
    """

    outcome: Literal["added", "updated", "duplicate"]
    song_id: int | None
    details: SongDetails
    sounds_new: bool = False
    superseded: tuple[int, ...] = ()


def settle(new_song: NewSong, sharing: Sequence[Song], *, replaces: int | None) -> Settlement | None:
    """Decide, given all songs that share the new song's external id, content or sound.

    replaces: the song that may be updated; None is returned where another one would be.
    """
    details, version = new_song.details, new_song.fingerprint.version
    own = _first(song for song in sharing if song.details.external_id == details.external_id)
    same_sound = _first(song for song in sharing if song.sound_sha256 == new_song.fingerprint.key)
    same_content = _first(song for song in sharing if song.content_sha256 == new_song.content_sha256)
    outdated = tuple(song.id for song in sharing if song.fingerprint_version != version)
    twin = same_content if same_content is not own else None
    if twin is not None and twin.id not in outdated:
        return Settlement("duplicate", twin.id, twin.details, superseded=outdated)
    if same_sound is not None and (same_sound is not own or twin is not None):
        return Settlement("duplicate", same_sound.id, same_sound.details, superseded=outdated)
    if twin is not None:
        return Settlement("updated", twin.id, twin.details, sounds_new=True)
    if own is None:
        return Settlement("added", None, details, sounds_new=True)
    if own is same_sound is same_content and own.details == details:
        return Settlement("duplicate", own.id, details)
    update = Settlement("updated", own.id, details, sounds_new=own is not same_sound)
    return update if own.id == replaces else None


def check_storable(details: SongDetails) -> None:
    """Raise InvalidRequest for text that PostgreSQL cannot hold: a NUL, or half of a surrogate pair."""
    for value in astuple(details):
        if isinstance(value, str) and value != storable(value):
            raise InvalidRequest(f"{value!r} has a character that cannot be stored")


def storable(text: str) -> str:
    """Return the text with what PostgreSQL cannot hold (see check_storable) spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _first(songs: Iterable[Song]) -> Song | None:
    return next(iter(songs), None)
