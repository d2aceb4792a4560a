"""Users, their preferences and their API keys in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from backend.catalogue.database import Connection, Database, Record
from backend.catalogue.queries import ACCOUNT_QUERIES as QUERIES
from backend.catalogue.settlement import storable
from backend.errors import InvalidRequest, KeyNotFound, UserNotFound
from backend.models import ApiKey, NewApiKey, Role, User

T = TypeVar("T")


class PostgresAccounts:
    """Implements AccountStore, and what the commands and `/v1/me` do besides.

    Every method raises CatalogueUnavailable when the database does not answer in time, SchemaVersionMismatch
    when it lacks a migration.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_user(self, name: str, role: Role) -> User:
        """Add a user; raises InvalidRequest for a name that is taken or cannot be stored."""
        if name != storable(name) or not 0 < len(name.encode()) <= 1024:
            raise InvalidRequest(f"{name!r} is no name: 1 to 1024 bytes, no NUL")
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["add_user"], name, role)
        if row is None:
            raise InvalidRequest(f"there is a user {name} already")
        return User(**row)

    async def user(self, name: str) -> User:
        """Return the user of this name; raises UserNotFound."""
        rows = await self._database.fetch(QUERIES["user"], storable(name))
        return User(**_found(rows[0] if rows else None, name))

    async def user_of_token(self, name: str) -> User:
        """Return the user of this name; one who comes for the first time is added with the role `free`."""
        try:
            return await self.user(name)
        except UserNotFound:
            async with self._database.connection() as connection:
                await connection.execute(QUERIES["add_user"], name, "free")
            return await self.user(name)

    async def users(self, *, after_id: int, limit: int) -> list[User]:
        """Return up to `limit` users with id > after_id, ascending."""
        return [User(**row) for row in await self._database.fetch(QUERIES["users"], after_id, limit)]

    async def set_role(self, name: str, role: Role) -> User:
        """Give a user another role; raises UserNotFound."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(QUERIES["set_role"], storable(name), role)
        return User(**_found(row, name))

    async def delete_user(self, name: str) -> bool:
        """Delete a user with keys, preferences and history; say whether there was one."""
        async with self._database.connection() as connection:
            return await connection.fetchval(QUERIES["delete_user"], storable(name)) is not None

    async def delete_user_by_id(self, user_id: int) -> None:
        """Delete a user with keys, preferences and history, if there is one."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["delete_user_by_id"], user_id)

    async def preferences(self, user_id: int) -> dict[str, Any]:
        """Return a user's preferences; raises UserNotFound."""
        rows = await self._database.fetch(QUERIES["preferences"], user_id)
        preferences: dict[str, Any] = json.loads(_found(rows[0] if rows else None)[0])
        return preferences

    async def set_preferences(self, user_id: int, preferences: Mapping[str, Any]) -> None:
        """Replace a user's preferences; raises UserNotFound. They are JSON without NUL and lone surrogates."""
        async with self._database.connection() as connection:
            _found(await connection.fetchval(QUERIES["set_preferences"], user_id, json.dumps(preferences)))

    async def key(self, prefix: str) -> ApiKey | None:
        """Return the key of this prefix."""
        rows = await self._database.fetch(QUERIES["key"], prefix)
        return _key(rows[0]) if rows else None

    async def keys(self, user_name: str | None = None) -> list[ApiKey]:
        """Return all keys, or those of a user, in the order in which they were made."""
        return [_key(row) for row in await self._database.fetch(QUERIES["keys"], user_name)]

    async def add_key(self, user_id: int, key: NewApiKey) -> None:
        """Add a key to a user."""
        async with self._database.connection() as connection:
            await _add_key(connection, user_id, key)

    async def replace_key(self, key: ApiKey, successor: NewApiKey, *, until: datetime) -> None:
        """Add the successor of a key, which itself expires at `until`, in one transaction."""
        async with self._database.transaction() as connection:
            await _add_key(connection, key.user.id, successor)
            await connection.execute(QUERIES["expire_key"], key.prefix, until)

    async def expire_key(self, prefix: str, at: datetime) -> None:
        """Have a key expire at a time, if it does not sooner; raises KeyNotFound."""
        async with self._database.connection() as connection:
            if await connection.fetchval(QUERIES["expire_key"], storable(prefix), at) is None:
                raise KeyNotFound(f"no API key has the prefix {prefix}")


async def _add_key(connection: Connection, user_id: int, key: NewApiKey) -> None:
    scopes = sorted(key.scopes)
    await connection.execute(
        QUERIES["add_key"], user_id, key.prefix, key.secret_sha256, key.label, scopes, key.expires_at
    )


def _found(value: T | None, name: str | None = None) -> T:
    if value is None:
        raise UserNotFound(None if name is None else f"there is no user {name}")
    return value


def _key(row: Record) -> ApiKey:
    return ApiKey(
        id=row["id"],
        user=User(row["user_id"], row["name"], row["role"], row["user_created_at"]),
        prefix=row["prefix"],
        secret_sha256=row["secret_sha256"],
        label=row["label"],
        scopes=frozenset(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
