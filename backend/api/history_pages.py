"""Cursors of the history: the time and query key of an entry, opaque, so that what they hold can change."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime

from backend.errors import InvalidRequest
from backend.models import Heard

Place = tuple[datetime, str]
_KEY = re.compile(r"[0-9a-f]{64}")


def cursor_of(heard: Heard) -> str:
    """Return the cursor that goes on after an entry."""
    place = f"{heard.recognized_at.astimezone(UTC).isoformat()} {heard.query_key}"
    return base64.urlsafe_b64encode(place.encode()).decode()


def place_of(cursor: str) -> Place:
    """Return the time and query key of a cursor; raises InvalidRequest for one that was not given here."""
    try:
        time, _, key = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii").partition(" ")
        recognized_at = datetime.fromisoformat(time)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("The cursor is not one that this service gave.") from error
    if recognized_at.tzinfo is None or not _KEY.fullmatch(key):
        raise InvalidRequest("The cursor is not one that this service gave.")
    return recognized_at, key
