"""/v1/me over a real database: preferences, and the history from a recognition to its export and end."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.api import history_export
from backend.catalogue.database import session
from backend.models import Heard, User
from tests.accounts import Service, bearer, guarded_service

NOW = datetime.now(UTC)


@pytest.fixture
async def service(tmp_path: Path, database_url: str) -> AsyncIterator[Service]:
    async with guarded_service(tmp_path, database_url, songs=1) as service:
        yield service


@pytest.fixture
async def user(service: Service) -> User:
    return await service.add_user()


@pytest.fixture
async def headers(service: Service, user: User) -> dict[str, str]:
    return bearer(await service.key_of(user))


async def listed(service: Service, headers: dict[str, str], **query: Any) -> dict[str, Any]:
    """Return a page of the history, once everything is recorded."""
    await service.accounts.recorder.flush()
    response = await service.client.get("/v1/me/history", headers=headers, params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def fill(service: Service, user: User, count: int) -> None:
    entries = [Heard(user.id, NOW - timedelta(seconds=n), f"{n:064x}", 1 + n % 2, 0.91234567, n) for n in range(count)]
    await service.accounts.history.record(entries)


async def test_caller_is_told_who_it_is(service: Service, user: User, headers: dict[str, str]) -> None:
    me = (await service.client.get("/v1/me", headers=headers)).json()

    assert (me["id"], me["name"], me["role"], me["scopes"]) == (user.id, "someone", "free", ["recognize", "songs:read"])


async def test_preferences_are_what_was_put_last(service: Service, headers: dict[str, str]) -> None:
    assert (await service.client.get("/v1/me/preferences", headers=headers)).json() == {"history": True}
    wanted = {"history": False, "languages": ["hi"], "theme": {"dark": True}}

    put = await service.client.put("/v1/me/preferences", headers=headers, json=wanted)

    assert put.json() == wanted
    assert (await service.client.get("/v1/me/preferences", headers=headers)).json() == wanted


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        '{"history": "no"}',
        '{"history": null}',
        '{"name": "a\\u0000b"}',
        '{"a\\u0000": 1}',
        '{"name": "\\ud800"}',
        '{"number": NaN}',
        '{"number": 1e999}',
        '{"much": "' + 17_000 * "a" + '"}',
        '{"deep": ' + 5000 * "[" + 5000 * "]" + "}",
    ],
    ids=lambda body: body[:24],
)
async def test_preferences_are_refused_when_they_cannot_be_kept(
    service: Service, headers: dict[str, str], body: str
) -> None:
    response = await service.client.put(
        "/v1/me/preferences", headers=headers | {"Content-Type": "application/json"}, content=body
    )

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert (await service.client.get("/v1/me/preferences", headers=headers)).json() == {"history": True}


async def test_recognised_song_is_in_the_history(service: Service, headers: dict[str, str]) -> None:
    answer = (await service.recognize(headers)).json()
    assert answer["status"] == "match"
    again = await service.client.get(f"/v1/match/{answer['query']['sha256']}", headers=headers)
    assert again.status_code == 200

    asked_again, first = (await listed(service, headers))["items"]

    match = answer["matches"][0]
    for entry in (asked_again, first):
        assert entry["query_key"] == answer["query"]["sha256"]
        assert (entry["song_id"], entry["title"]) == (match["song"]["id"], match["song"]["title"])
        assert (entry["score"], entry["offset_ms"]) == (match["score"], match["offset_ms"])
    assert datetime.fromisoformat(first["recognized_at"]) >= NOW


async def test_nothing_is_recorded_when_nothing_was_found(service: Service, headers: dict[str, str]) -> None:
    assert (await service.recognize(headers, seed=9)).json()["status"] == "no_match"

    assert (await listed(service, headers))["items"] == []


async def test_nothing_is_recorded_when_the_user_opted_out(service: Service, headers: dict[str, str]) -> None:
    await service.client.put("/v1/me/preferences", headers=headers, json={"history": False})
    assert (await service.recognize(headers)).json()["status"] == "match"
    assert (await listed(service, headers))["items"] == []

    await service.client.put("/v1/me/preferences", headers=headers, json={"history": True})
    await service.recognize(headers)

    assert len((await listed(service, headers))["items"]) == 1


async def test_answer_does_not_wait_for_the_history(
    service: Service, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("no request is to write")

    monkeypatch.setattr(type(service.accounts.history), "record", never)

    assert (await service.recognize(headers)).json()["status"] == "match"


async def test_history_is_each_users_own(service: Service, user: User, headers: dict[str, str]) -> None:
    await fill(service, user, 3)
    other = bearer(await service.key_of(await service.add_user("other")))

    assert (await listed(service, other))["items"] == []
    await service.client.delete("/v1/me/history", headers=other)
    assert len((await listed(service, headers))["items"]) == 3


async def test_history_comes_page_by_page_when_the_cursor_is_followed(
    service: Service, user: User, headers: dict[str, str]
) -> None:
    await fill(service, user, 5)
    offsets, cursor = [], None
    while True:
        page = await listed(service, headers, limit=2, **({"cursor": cursor} if cursor else {}))
        offsets.append([entry["offset_ms"] for entry in page["items"]])
        if (cursor := page["next_cursor"]) is None:
            break

    assert offsets == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=!", "cursor=MTIz", "cursor=é", "page=2"])
async def test_listing_is_refused_when_the_query_is_wrong(
    service: Service, headers: dict[str, str], query: str
) -> None:
    response = await service.client.get(f"/v1/me/history?{query}", headers=headers)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


async def test_export_has_everything_in_either_form(
    service: Service, user: User, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_export, "_PAGE", 3)
    await fill(service, user, 7)
    items = (await listed(service, headers))["items"]

    as_json = await service.client.get("/v1/me/history/export", headers=headers)
    as_csv = await service.client.get("/v1/me/history/export", headers=headers, params={"format": "csv"})

    assert as_json.json() == {"items": items}
    assert as_json.headers["content-disposition"] == 'attachment; filename="sonica-history.json"'
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert rows == [{name: "" if value is None else str(value) for name, value in item.items()} for item in items]


async def test_export_of_nothing_is_a_file_too(service: Service, headers: dict[str, str]) -> None:
    as_json = await service.client.get("/v1/me/history/export", headers=headers)
    as_csv = await service.client.get("/v1/me/history/export", headers=headers, params={"format": "csv"})
    other = await service.client.get("/v1/me/history/export", headers=headers, params={"format": "xml"})

    assert as_json.json() == {"items": []}
    assert len(as_csv.text.splitlines()) == 1
    assert other.json()["code"] == "invalid_request"


async def test_title_is_no_formula_when_a_spreadsheet_opens_the_export(
    service: Service, user: User, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(service, user, 1)
    monkeypatch.setattr(history_export, "_FORMULA", ("Title",))  # of the title that there is

    as_csv = await service.client.get("/v1/me/history/export", headers=headers, params={"format": "csv"})

    assert ",'Title 1," in as_csv.text


async def test_history_is_gone_when_it_was_deleted_and_goes_on(
    service: Service, user: User, headers: dict[str, str]
) -> None:
    await fill(service, user, 3)
    await service.recognize(headers)  # in the queue as yet

    deleted = await service.client.delete("/v1/me/history", headers=headers)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await listed(service, headers))["items"] == []
    await service.recognize(headers)
    assert len((await listed(service, headers))["items"]) == 1


async def test_use_of_a_key_is_noted(service: Service, user: User, headers: dict[str, str]) -> None:
    await service.client.get("/v1/me", headers=headers)
    await service.accounts.recorder.flush()

    (key,) = await service.accounts.store.keys(user.name)

    assert key.last_used_at is not None
    assert key.last_used_at >= NOW


async def test_caller_is_gone_with_all_that_was_known_when_it_erases_itself(
    service: Service, user: User, headers: dict[str, str], database_url: str
) -> None:
    await fill(service, user, 3)
    other = await service.add_user("other")
    await fill(service, other, 2)
    others = bearer(await service.key_of(other))
    await service.client.put("/v1/me/preferences", json={"theme": "dark"}, headers=headers)
    await service.recognize(headers)  # still in the queue

    response = await service.client.delete("/v1/me", headers=headers)
    await service.accounts.recorder.flush()

    assert (response.status_code, response.content) == (204, b"")
    assert (await service.client.get("/v1/me", headers=headers)).status_code == 401
    async with session(database_url) as connection:
        for table, column in (("users", "id"), ("api_keys", "user_id"), ("recognition_history", "user_id")):
            assert await connection.fetchval(f"select count(*) from {table} where {column} = $1", user.id) == 0
    assert len((await listed(service, others))["items"]) == 2
