"""A service with SONICA_AUTH=on over a real database, and keys for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI
from sonica_fingerprint import encode, extract

from backend.accounts.keys import make_key
from backend.app import create_app
from backend.catalogue.accounts import PostgresAccounts
from backend.composition import Accounts
from backend.models import Role, User
from backend.settings import Settings
from tests.factories import make_new_song
from tests.music import RATE_HZ, make_music
from tests.origins import client_of

SONG_SECONDS = 16.0


def bearer(credential: str) -> dict[str, str]:
    """Return the headers that say who asks."""
    return {"Authorization": f"Bearer {credential}"}


def make_query(seed: int = 1) -> bytes:
    """Return the fingerprint of some seconds of song number seed."""
    return encode(extract(make_music(seed, SONG_SECONDS)[4 * RATE_HZ : 9 * RATE_HZ]))


@dataclass(frozen=True, slots=True)
class Service:
    """An app that runs in this process, and its client."""

    app: FastAPI
    client: httpx.AsyncClient

    @property
    def accounts(self) -> Accounts:
        """The app's accounts."""
        return cast(Accounts, self.app.state.origin.accounts)

    async def add_user(self, name: str = "someone", role: Role = "free") -> User:
        """Add a user."""
        return await self.accounts.store.add_user(name, role)

    async def key_of(
        self, user: User, scopes: Iterable[str] = ("recognize", "songs:read"), *, expires_at: datetime | None = None
    ) -> str:
        """Return the secret of a new key."""
        return await add_key(self.accounts.store, user, scopes, expires_at=expires_at)

    async def recognize(self, headers: dict[str, str], *, seed: int = 1) -> httpx.Response:
        """Post the fingerprint of a song."""
        content_type = {"Content-Type": "application/vnd.sonica.fingerprint"}
        return await self.client.post("/v1/recognize", content=make_query(seed), headers=headers | content_type)


async def add_key(
    store: PostgresAccounts, user: User, scopes: Iterable[str], *, expires_at: datetime | None = None
) -> str:
    """Add a key to a user; return its secret."""
    key, secret = make_key(user.role, scopes, expires_at=expires_at)
    await store.add_key(user.id, key)
    return secret


@asynccontextmanager
async def guarded_service(
    data_dir: Path, database_url: str, *, songs: int = 0, **settings: Any
) -> AsyncIterator[Service]:
    """Run a service that knows some songs."""
    app = create_app(Settings(data_dir=data_dir, database_url=database_url, auth="on", **settings))
    async with app.router.lifespan_context(app), client_of(app) as client:
        for seed in range(1, songs + 1):
            fingerprint = extract(make_music(seed, SONG_SECONDS)).thinned(4)
            await app.state.origin.catalogue.put(make_new_song(seed, fingerprint=fingerprint))
        await app.state.origin.index.catch_up()
        yield Service(app, client)
