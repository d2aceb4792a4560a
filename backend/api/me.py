"""/v1/me: what callers may know and change of themselves; there with SONICA_AUTH=on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from backend.accounts.identity import Identity
from backend.api.history_export import Form, export
from backend.api.history_pages import cursor_of, place_of
from backend.api.me_schemas import HistoryEntry, HistoryPage, Me, Preferences
from backend.api.problems import problem_examples
from backend.errors import CatalogueUnavailable, InvalidRequest

if TYPE_CHECKING:
    from backend.composition import Accounts

router = APIRouter(prefix="/v1/me", tags=["me"])

_PREFERENCES_BYTES_MAX = 16_384
_PAGE_MAX = 200


class HistoryListing(BaseModel):
    """Which entries to list; a misspelt parameter is refused."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=_PAGE_MAX)
    cursor: str | None = Field(None, max_length=256, description="`next_cursor` of the page before.")


@router.get("")
async def get_me(request: Request) -> Me:
    """Say who asks, and what the key or token allows."""
    return Me.of(_identity(request))


@router.delete("", status_code=204, responses=problem_examples(CatalogueUnavailable))
async def delete_me(request: Request) -> Response:
    """Erase the caller for good: account, keys, preferences and history.

    Other servers may know a key for 10 s more; a token that is still good makes a new, empty account when it is used.
    """
    user_id = _identity(request).user.id
    await _accounts(request).store.delete_user_by_id(user_id)
    _accounts(request).authenticator.forget(user_id)
    return Response(status_code=204)


@router.get("/preferences", responses=problem_examples(CatalogueUnavailable))
async def get_preferences(request: Request) -> Preferences:
    """Return the preferences."""
    return Preferences.model_validate(await _accounts(request).store.preferences(_identity(request).user.id))


@router.put("/preferences", responses=problem_examples(InvalidRequest, CatalogueUnavailable))
async def put_preferences(request: Request, preferences: Preferences) -> Preferences:
    """Replace the preferences; with `"history": false` no recognition is recorded from now on."""
    document = preferences.model_dump()
    _check_storable(document)
    await _accounts(request).store.set_preferences(_identity(request).user.id, document)
    return preferences


@router.get("/history", responses=problem_examples(InvalidRequest, CatalogueUnavailable))
async def get_history(request: Request, listing: Annotated[HistoryListing, Query()]) -> HistoryPage:
    """List what was recognised, the newest first."""
    before = place_of(listing.cursor) if listing.cursor else None
    user_id = _identity(request).user.id
    # One more than asked for tells whether there is a next page.
    found = await _accounts(request).history.page(user_id, before=before, limit=listing.limit + 1)
    page = found[: listing.limit]
    return HistoryPage(
        items=[HistoryEntry.of(entry) for entry in page],
        next_cursor=cursor_of(page[-1].heard) if len(found) > listing.limit else None,
    )


@router.get("/history/export", response_model=None, responses=problem_examples(InvalidRequest, CatalogueUnavailable))
async def export_history(
    request: Request, form: Annotated[Form, Query(alias="format", description="A file of JSON or CSV.")] = "json"
) -> Response:
    """Return the whole history as a file."""
    return await export(_accounts(request).history, _identity(request).user.id, form)


@router.delete("/history", status_code=204, responses=problem_examples(CatalogueUnavailable))
async def delete_history(request: Request) -> Response:
    """Delete the whole history."""
    await _accounts(request).history.clear(_identity(request).user.id, until=datetime.now(UTC))
    return Response(status_code=204)


def _identity(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.origin.accounts
    return accounts


def _check_storable(document: dict[str, Any]) -> None:
    """Raise InvalidRequest for what PostgreSQL's jsonb cannot hold, and for what is too much."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except ValueError as error:  # not a number, or half of a surrogate pair
        raise InvalidRequest("The preferences have a character or a number that cannot be stored.") from error
    if "\\u0000" in text:
        raise InvalidRequest("The preferences have a character that cannot be stored.")
    if size > _PREFERENCES_BYTES_MAX:
        raise InvalidRequest(f"The preferences are larger than {_PREFERENCES_BYTES_MAX} bytes.")
