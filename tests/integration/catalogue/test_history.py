"""The history on a real server: months, opting out, deletion under way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from backend.catalogue.accounts import PostgresAccounts
from backend.catalogue.database import session
from backend.catalogue.history import PostgresHistory
from backend.catalogue.postgres import PostgresCatalogue
from backend.models import Heard, User
from tests.factories import make_new_song

NOW = datetime.now(UTC)
_PARTITIONS = (
    "select inhrelid::regclass::text as name from pg_inherits "
    "where inhparent = 'recognition_history'::regclass order by 1"
)


@pytest.fixture
def history(postgres_catalogue: PostgresCatalogue) -> PostgresHistory:
    return PostgresHistory(postgres_catalogue.database)


@pytest.fixture
def accounts(postgres_catalogue: PostgresCatalogue) -> PostgresAccounts:
    return PostgresAccounts(postgres_catalogue.database)


@pytest.fixture
async def user(accounts: PostgresAccounts) -> User:
    return await accounts.add_user("someone", "free")


def heard(user: User, number: int = 0, *, at: datetime | None = None) -> Heard:
    return Heard(user.id, at or NOW - timedelta(seconds=number), f"{number:064x}", 1 + number, 0.9, 10 * number)


async def songs_of(history: PostgresHistory, user: User) -> list[int]:
    return [entry.heard.song_id for entry in await history.page(user.id, before=None, limit=1000)]


async def partitions(url: str) -> list[str]:
    async with session(url) as connection:
        return [row["name"].removeprefix("recognition_history_") for row in await connection.fetch(_PARTITIONS)]


async def test_entries_come_newest_first_with_what_is_known_of_their_songs(
    history: PostgresHistory, postgres_catalogue: PostgresCatalogue, user: User
) -> None:
    stored = await postgres_catalogue.put(make_new_song(1))
    assert stored is not None
    await history.record([heard(user, 1), heard(user, 0)])

    first, second = await history.page(user.id, before=None, limit=10)

    assert stored.song_id == 1
    assert (first.heard, first.title, first.artist) == (heard(user, 0), "Title 1", "Artist 1")
    assert (second.heard.song_id, second.title) == (2, None)  # the song is gone


async def test_every_entry_comes_once_when_pages_are_followed(history: PostgresHistory, user: User) -> None:
    await history.record([heard(user, number, at=NOW) for number in range(7)])  # at the very same time
    found, before = [], None
    while page := await history.page(user.id, before=before, limit=3):
        found += [entry.heard.song_id for entry in page]
        before = page[-1].heard.recognized_at, page[-1].heard.query_key

    assert sorted(found) == list(range(1, 8))


async def test_entry_is_there_once_when_its_batch_is_written_again(history: PostgresHistory, user: User) -> None:
    for _ in range(2):
        await history.record([heard(user, 0), heard(user, 1)])

    assert await songs_of(history, user) == [1, 2]


async def test_nothing_is_recorded_when_the_user_opted_out_or_is_gone(
    history: PostgresHistory, accounts: PostgresAccounts, user: User
) -> None:
    other = await accounts.add_user("other", "free")
    gone = await accounts.add_user("gone", "free")
    await accounts.set_preferences(user.id, {"history": False})
    await accounts.delete_user("gone")

    await history.record([heard(each, 1) for each in (user, other, gone)])

    assert await songs_of(history, user) == []
    assert await songs_of(history, other) == [2]


async def test_entries_in_the_queue_are_not_recorded_when_the_history_was_deleted_meanwhile(
    history: PostgresHistory, user: User
) -> None:
    await history.record([heard(user, 5)])
    await history.clear(user.id, until=NOW)

    await history.record([heard(user, 1), heard(user, 0), heard(user, 9, at=NOW + timedelta(seconds=1))])

    assert await songs_of(history, user) == [10]


async def test_deletion_takes_along_what_is_recorded_at_this_moment(
    history: PostgresHistory, user: User, database_url: str
) -> None:
    async with session(database_url) as connection:
        async with connection.transaction():
            await connection.execute("select 1 from users where id = $1 for share", user.id)
            clearing = asyncio.create_task(history.clear(user.id, until=NOW))
            await asyncio.sleep(0.1)
            await connection.execute(
                "insert into recognition_history values ($1, $2, sha256('a'), 1, 0.9, 0)", user.id, NOW
            )
        await clearing

    assert await songs_of(history, user) == []


async def test_all_of_a_user_is_gone_when_the_user_is_deleted(
    history: PostgresHistory, accounts: PostgresAccounts, user: User, database_url: str
) -> None:
    async with session(database_url) as connection:
        last_month = NOW.replace(day=1) - timedelta(days=1)
        await history.record([heard(user, 1), heard(user, 2, at=last_month)])
        await accounts.delete_user(user.name)

        assert await connection.fetchval("select count(*) from recognition_history") == 0


async def test_partitions_are_ahead_when_the_database_is_new(database_url: str) -> None:
    month = NOW.year * 12 + NOW.month - 1
    ahead = [f"{(month + step) // 12:04}_{(month + step) % 12 + 1:02}" for step in (-1, 0, 1, 2)]

    assert await partitions(database_url) == ahead


async def test_entries_go_on_when_the_year_ends(history: PostgresHistory, user: User, database_url: str) -> None:
    async with session(database_url) as connection:
        await connection.execute("select make_history_partitions('2031-12-31 23:30 America/New_York')")
    last = datetime(2031, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    await history.record([heard(user, 1, at=last), heard(user, 2, at=last + timedelta(microseconds=1))])

    async with session(database_url) as connection:
        rows = await connection.fetch("select tableoid::regclass::text as name from recognition_history order by 1")
    # By the calendar of UTC, in which it is January already.
    assert [row["name"] for row in rows] == ["recognition_history_2031_12", "recognition_history_2032_01"]
    assert (await partitions(database_url))[-4:] == ["2031_12", "2032_01", "2032_02", "2032_03"]


async def test_partitions_are_made_once_when_servers_start_at_the_same_time(
    history: PostgresHistory, database_url: str
) -> None:
    async with session(database_url) as connection:
        for name in await partitions(database_url):
            await connection.execute(f"drop table recognition_history_{name}")

    await asyncio.gather(*(history.turn_pages() for _ in range(4)))

    assert len(await partitions(database_url)) == 4


async def test_use_of_keys_is_noted_at_most_once_a_minute(
    history: PostgresHistory, accounts: PostgresAccounts, user: User, database_url: str
) -> None:
    async with session(database_url) as connection:
        key_id = await connection.fetchval(
            "insert into api_keys (user_id, prefix, secret_sha256, scopes) "
            "values ($1, 'sk_x', sha256('a'), '{recognize}') returning id",
            user.id,
        )
        await history.touch_keys([key_id])
        (first,) = await accounts.keys()
        await history.touch_keys([key_id])
        (again,) = await accounts.keys()
        await connection.execute("update api_keys set last_used_at = now() - interval '2 minutes'")
        await history.touch_keys([key_id])
        (later,) = await accounts.keys()

    assert first.last_used_at is not None
    assert first.last_used_at == again.last_used_at
    assert later.last_used_at is not None
    assert later.last_used_at > first.last_used_at


async def test_months_are_dropped_when_they_are_older_than_is_kept(
    postgres_catalogue: PostgresCatalogue, user: User, database_url: str
) -> None:
    history = PostgresHistory(postgres_catalogue.database, months=3)
    this_month = NOW.year * 12 + NOW.month - 1
    starts = [datetime((this_month - n) // 12, (this_month - n) % 12 + 1, 1, tzinfo=UTC) for n in range(8)]
    async with session(database_url) as connection:
        for start in starts:
            await connection.execute("select make_history_partitions($1)", start)
    await history.record([heard(user, n, at=start) for n, start in enumerate(starts)])

    for _ in range(2):
        await history.turn_pages()

    assert await songs_of(history, user) == [1, 2, 3, 4]  # of this month and of three whole ones
    assert (await partitions(database_url))[0] == starts[3].strftime("%Y_%m")


async def test_months_are_dropped_once_when_servers_start_at_the_same_time(
    history: PostgresHistory, database_url: str
) -> None:
    async with session(database_url) as connection:
        await connection.execute("select make_history_partitions('2020-06-15')")

    await asyncio.gather(*(history.turn_pages() for _ in range(4)))

    assert len(await partitions(database_url)) == 4
