"""What the owner of an object wrote beside it: user metadata with the names of a manifest's columns."""

from __future__ import annotations

from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from backend.errors import InvalidRequest
from backend.ingestion.manifests import COLUMNS, details_of
from backend.ingestion.tags import filled, readable
from backend.models import SongDetails


def noted(details: SongDetails, metadata: Mapping[str, str]) -> SongDetails:
    """Return the details with blanks filled from metadata such as `x-amz-meta-title`, `x-amz-meta-external-id`.

    S3 writes what is not ASCII in the words of RFC 2047. What is not of its form is passed over, as in tags.
    """
    found: dict[str, object] = {}
    for name, value in metadata.items():
        column = name.lower().replace("-", "_")
        if column in COLUMNS and column != "uri":
            found |= _read(column, _decoded(value))
    return filled(details, found)


def _read(column: str, text: str) -> dict[str, object]:
    try:
        return {column: getattr(details_of({column: readable(text)}), column)}
    except InvalidRequest:
        return {}


def _decoded(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):
        return value
