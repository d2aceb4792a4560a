"""Users and keys on a real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from backend.accounts.keys import make_key
from backend.catalogue.accounts import PostgresAccounts
from backend.catalogue.database import session
from backend.catalogue.postgres import PostgresCatalogue
from backend.errors import InvalidRequest, KeyNotFound, UserNotFound

NOW = datetime.now(UTC)


@pytest.fixture
def accounts(postgres_catalogue: PostgresCatalogue) -> PostgresAccounts:
    return PostgresAccounts(postgres_catalogue.database)


async def test_user_is_found_with_the_role_that_was_given_last(accounts: PostgresAccounts) -> None:
    added = await accounts.add_user("someone", "free")
    changed = await accounts.set_role("someone", "premium")

    assert (added.role, changed.role) == ("free", "premium")
    assert await accounts.user("someone") == changed


async def test_user_is_refused_when_the_name_is_taken_or_cannot_be_stored(accounts: PostgresAccounts) -> None:
    await accounts.add_user("someone", "free")
    for name in ("someone", "", "a\0b", "\ud800", "x" * 1025):
        with pytest.raises(InvalidRequest):
            await accounts.add_user(name, "free")


async def test_it_is_said_when_there_is_no_such_user_or_key(accounts: PostgresAccounts) -> None:
    with pytest.raises(UserNotFound):
        await accounts.user("nobody\0")
    with pytest.raises(UserNotFound):
        await accounts.set_role("nobody", "admin")
    with pytest.raises(UserNotFound):
        await accounts.preferences(1)
    with pytest.raises(UserNotFound):
        await accounts.set_preferences(1, {})
    with pytest.raises(KeyNotFound):
        await accounts.expire_key("sk_nothing", NOW)
    assert await accounts.delete_user("nobody") is False
    assert await accounts.key("sk_nothing") is None


async def test_user_of_a_token_is_added_once_when_tokens_come_at_the_same_time(accounts: PostgresAccounts) -> None:
    users = await asyncio.gather(*(accounts.user_of_token("https://issuer.example#a") for _ in range(4)))

    assert len({user.id for user in users}) == 1
    assert users[0].role == "free"
    await accounts.set_role(users[0].name, "premium")
    assert (await accounts.user_of_token(users[0].name)).role == "premium"


async def test_users_come_page_by_page(accounts: PostgresAccounts) -> None:
    ids = [(await accounts.add_user(name, "free")).id for name in "abc"]

    assert [user.id for user in await accounts.users(after_id=0, limit=2)] == ids[:2]
    assert [user.id for user in await accounts.users(after_id=ids[1], limit=2)] == ids[2:]


async def test_no_secret_is_in_the_database_when_a_key_is_stored(accounts: PostgresAccounts, database_url: str) -> None:
    user = await accounts.add_user("someone", "admin")
    key, secret = make_key("admin", ["admin", "recognize"], label="deploy")
    await accounts.add_key(user.id, key)

    async with session(database_url) as connection:
        stored = str(await connection.fetchrow("select * from api_keys"))
    assert secret not in stored
    assert secret.removeprefix(f"{key.prefix}_") not in stored
    found = await accounts.key(key.prefix)
    assert found is not None
    assert (found.user, found.label, found.scopes) == (user, "deploy", {"admin", "recognize"})


async def test_both_keys_are_good_for_a_while_when_one_is_rotated(accounts: PostgresAccounts) -> None:
    user = await accounts.add_user("someone", "free")
    key, _ = make_key("free", ["recognize"])
    await accounts.add_key(user.id, key)
    old = await accounts.key(key.prefix)
    assert old is not None

    successor, _ = make_key("free", old.scopes)
    await accounts.replace_key(old, successor, until=NOW + timedelta(hours=1))

    expiries = {each.prefix: each.expires_at for each in await accounts.keys("someone")}
    assert expiries == {key.prefix: NOW + timedelta(hours=1), successor.prefix: None}


async def test_key_does_not_live_longer_when_it_would_have_expired_anyway(accounts: PostgresAccounts) -> None:
    user = await accounts.add_user("someone", "free")
    key, _ = make_key("free", ["recognize"], expires_at=NOW + timedelta(minutes=1))
    await accounts.add_key(user.id, key)

    await accounts.expire_key(key.prefix, NOW + timedelta(hours=1))

    (stored,) = await accounts.keys()
    assert stored.expires_at == NOW + timedelta(minutes=1)


async def test_preferences_are_kept_as_they_are(accounts: PostgresAccounts) -> None:
    user = await accounts.add_user("someone", "free")
    assert await accounts.preferences(user.id) == {}
    preferences = {"history": False, "languages": ["hi", "ta"], "näme": {"deep": [1.5, None]}}
    await accounts.set_preferences(user.id, preferences)

    assert await accounts.preferences(user.id) == preferences


@pytest.mark.parametrize(
    "statement",
    [
        "insert into users (name, role) values ('x', 'root')",
        "insert into users (name, preferences) values ('x', '[]')",
        "insert into api_keys (user_id, prefix, secret_sha256, scopes) values (1, 'p', '\\x00', '{recognize}')",
        "insert into api_keys (user_id, prefix, secret_sha256, scopes) values (1, 'p', sha256('a'), '{}')",
        "insert into api_keys (user_id, prefix, secret_sha256, scopes) values (1, 'p', sha256('a'), '{root}')",
    ],
)
async def test_database_itself_refuses_what_no_account_can_have(
    accounts: PostgresAccounts, database_url: str, statement: str
) -> None:
    await accounts.add_user("someone", "free")
    async with session(database_url) as connection:
        with pytest.raises(Exception, match="violates check constraint"):
            await connection.execute(statement)
