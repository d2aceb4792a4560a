from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from backend.app import following_catalogue
from backend.composition import Origin
from backend.errors import CatalogueUnavailable


class FlakyIndex:
    """An index whose catalogue is away for the first polls."""

    def __init__(self, outages: int) -> None:
        self.outages = outages
        self.caught_up = asyncio.Event()
        self.saved = 0

    async def catch_up(self) -> int:
        if self.outages:
            self.outages -= 1
            raise CatalogueUnavailable
        self.caught_up.set()
        return 1

    def save(self) -> None:
        self.saved += 1


def origin_of(index: FlakyIndex) -> Origin:
    return cast(Origin, SimpleNamespace(index=index))


async def test_index_catches_up_when_the_database_comes_back() -> None:
    index = FlakyIndex(outages=3)

    async with following_catalogue(origin_of(index), poll_seconds=0.001):
        await index.caught_up.wait()


async def test_index_is_not_saved_when_it_never_had_the_catalogues_changes() -> None:
    index = FlakyIndex(outages=1_000_000)

    async with following_catalogue(origin_of(index), poll_seconds=0.001) as caught_up:
        while index.outages > 999_997:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
        assert not caught_up.is_set()

    assert index.saved == 0


async def test_index_is_saved_once_when_the_service_stops() -> None:
    index = FlakyIndex(outages=0)

    async with following_catalogue(origin_of(index), poll_seconds=3600):
        await index.caught_up.wait()
        assert index.saved == 0

    assert index.saved == 1
