"""The named statements of queries.sql and accounts.sql."""

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

_MARK = "-- name: "


def parse(text: str) -> Mapping[str, str]:
    """Return the statements by name: each starts with a line `-- name: NAME` and ends at the next.

    Raises ValueError for a name that comes twice or has no statement.
    """
    statements: dict[str, str] = {}
    for section in f"\n{text}".split(f"\n{_MARK}")[1:]:
        name, _, body = section.partition("\n")
        statement = "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()
        if not statement or name in statements:
            raise ValueError(f"the statement {name!r} is empty or there twice")
        statements[name] = statement
    return MappingProxyType(statements)


def _read(file: str) -> Mapping[str, str]:
    return parse(resources.files("backend.catalogue").joinpath(file).read_text(encoding="utf-8"))


QUERIES = _read("queries.sql")
ACCOUNT_QUERIES = _read("accounts.sql")
