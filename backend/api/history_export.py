"""The whole history of a user as a file, read page by page while it is sent."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Literal

from fastapi.responses import StreamingResponse

from backend.api.me_schemas import HistoryEntry

if TYPE_CHECKING:
    from backend.api.history_pages import Place
    from backend.catalogue.history import PostgresHistory

Form = Literal["json", "csv"]
_PAGE = 1000  # entries of about 250 bytes
_COLUMNS = list(HistoryEntry.model_fields)
_FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would run: a title may come from anybody's tags


async def export(history: PostgresHistory, user_id: int, form: Form) -> StreamingResponse:
    """Return the file; the first page is read before the answer starts, so that an outage is still a problem."""
    pages = _pages(history, user_id)
    first = await anext(pages)
    headers = {"Content-Disposition": f'attachment; filename="sonica-history.{form}"'}
    write, media_type = _FORMS[form]
    return StreamingResponse(write(_chained(first, pages)), media_type=media_type, headers=headers)


async def _pages(history: PostgresHistory, user_id: int) -> AsyncIterator[list[HistoryEntry]]:
    before: Place | None = None
    while True:
        found = await history.page(user_id, before=before, limit=_PAGE)
        yield [HistoryEntry.of(entry) for entry in found]
        if len(found) < _PAGE:
            return
        before = found[-1].heard.recognized_at, found[-1].heard.query_key


async def _chained(
    first: list[HistoryEntry], rest: AsyncIterator[list[HistoryEntry]]
) -> AsyncIterator[list[HistoryEntry]]:
    yield first
    async for page in rest:
        yield page


async def _json(pages: AsyncIterator[list[HistoryEntry]]) -> AsyncIterator[str]:
    separator = '{"items": [\n'
    async for page in pages:
        for entry in page:
            yield separator + entry.model_dump_json()
            separator = ",\n"
    yield ("" if separator.startswith(",") else separator) + "\n]}\n"


async def _csv(pages: AsyncIterator[list[HistoryEntry]]) -> AsyncIterator[str]:
    yield _row(_COLUMNS)
    async for page in pages:
        yield "".join(_row([_cell(value) for value in entry.model_dump(mode="json").values()]) for entry in page)


def _row(values: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


_Writer = Callable[[AsyncIterator[list[HistoryEntry]]], AsyncIterator[str]]
_FORMS: Mapping[Form, tuple[_Writer, str]] = {
    "json": (_json, "application/json"),
    "csv": (_csv, "text/csv; charset=utf-8"),
}
