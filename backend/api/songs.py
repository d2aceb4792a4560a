"""/v1/songs: the catalogue's songs."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.api.problems import problem_examples
from backend.api.schemas import SongPage, SongResource
from backend.errors import CatalogueUnavailable, InvalidRequest, SongNotFound
from backend.ports import SongCatalogue

if TYPE_CHECKING:
    from backend.composition import Origin

router = APIRouter(prefix="/v1/songs", tags=["songs"])

_ID_MAX = 2**63 - 1  # PostgreSQL's bigint
_PAGE_MAX = 200  # songs of about 400 bytes each
_TEXT_MAX = 512  # longer than any title that a filter would name

SongId = Annotated[int, Path(ge=1, le=_ID_MAX)]
_NO_NUL = r"^[^\x00]*$"  # no text of PostgreSQL has one
FilterText = Annotated[str | None, Field(max_length=_TEXT_MAX, pattern=_NO_NUL)]


class SongListing(BaseModel):
    """Which songs to list; filters compare for equality, and a misspelt one is refused."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=_PAGE_MAX)
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before.")
    external_id: FilterText = None
    isrc: FilterText = None
    artist: FilterText = None
    album: FilterText = None
    language: FilterText = None
    genre: FilterText = None

    def filters(self) -> dict[str, str]:
        """Return the filters that are given."""
        return self.model_dump(exclude={"limit", "cursor"}, exclude_none=True)


class PopularListing(BaseModel):
    """Which popular songs to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=_PAGE_MAX)
    language: FilterText = None
    genre: FilterText = None


@router.get("", responses=problem_examples(InvalidRequest, CatalogueUnavailable))
async def list_songs(request: Request, listing: Annotated[SongListing, Query()]) -> SongPage:
    """List songs in the order in which they were added."""
    after_id = _song_id(listing.cursor) if listing.cursor else 0
    # One more than asked for tells whether there is a next page.
    songs = await _catalogue(request).page(after_id=after_id, limit=listing.limit + 1, filters=listing.filters())
    page = songs[: listing.limit]
    return SongPage(
        items=[SongResource.of(song) for song in page],
        next_cursor=_cursor(page[-1].id) if len(songs) > listing.limit else None,
    )


@router.get("/popular", responses=problem_examples(InvalidRequest, CatalogueUnavailable))
async def list_popular_songs(request: Request, listing: Annotated[PopularListing, Query()]) -> SongPage:
    """List the songs of the highest popularity_score, the first page and the only one; an hour old at most."""
    origin: Origin = request.app.state.origin
    songs = await origin.cache.songs.popular(listing.limit, language=listing.language, genre=listing.genre)
    return SongPage(items=[SongResource.of(song) for song in songs], next_cursor=None)


@router.get("/{song_id}", responses=problem_examples(SongNotFound, InvalidRequest, CatalogueUnavailable))
async def get_song(request: Request, song_id: SongId) -> SongResource:
    """Return one song."""
    songs = await _catalogue(request).songs([song_id])
    if song_id not in songs:
        raise SongNotFound(f"No song has the id {song_id}.")
    return SongResource.of(songs[song_id])


@router.delete(
    "/{song_id}",
    status_code=204,
    responses=problem_examples(SongNotFound, InvalidRequest, CatalogueUnavailable),
)
async def delete_song(request: Request, song_id: SongId) -> Response:
    """Delete a song and its fingerprint; recognitions forget it within seconds."""
    if not await _catalogue(request).delete(song_id):
        raise SongNotFound(f"No song has the id {song_id}.")
    return Response(status_code=204)


def _catalogue(request: Request) -> SongCatalogue:
    catalogue: SongCatalogue = request.app.state.origin.catalogue
    return catalogue


def _cursor(song_id: int) -> str:
    """Return a cursor: opaque, so that what it holds can change."""
    return base64.urlsafe_b64encode(str(song_id).encode()).decode()


def _song_id(cursor: str) -> int:
    try:
        song_id = int(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("The cursor is not one that this service gave.") from error
    if not 0 <= song_id <= _ID_MAX:
        raise InvalidRequest("The cursor is not one that this service gave.")
    return song_id
