"""The filters that a listing of songs takes."""

from backend.errors import InvalidRequest

FILTERS = ("external_id", "isrc", "artist", "album", "language", "genre")


def checked(filters: dict[str, str]) -> tuple[str | None, ...]:
    """Return a value or None for each of FILTERS; raises InvalidRequest for any other name."""
    if unknown := sorted(filters.keys() - set(FILTERS)):
        raise InvalidRequest(f"there is no filter {', '.join(unknown)}; there are {', '.join(FILTERS)}")
    return tuple(filters.get(name) for name in FILTERS)
