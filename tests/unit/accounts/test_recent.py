from __future__ import annotations

import pytest

from backend.accounts.recent import Recent
from backend.errors import CatalogueUnavailable


class Store:
    """A store that counts, fails and forgets as it is told."""

    def __init__(self) -> None:
        self.calls = 0
        self.value: str | None = "value"
        self.away = False

    async def look_up(self, name: str) -> str | None:
        self.calls += 1
        if self.away:
            raise CatalogueUnavailable
        return self.value


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recent(clock: Clock) -> Recent[str]:
    return Recent(fresh_seconds=10, stale_seconds=100, timer=clock)


async def test_store_is_asked_again_when_the_value_is_no_longer_fresh(recent: Recent[str], clock: Clock) -> None:
    store = Store()
    await recent.get("a", store.look_up)
    clock.now = 9
    assert await recent.get("a", store.look_up) == "value"
    assert store.calls == 1

    clock.now, store.value = 11, "changed"

    assert await recent.get("a", store.look_up) == "changed"


async def test_value_is_gone_when_the_store_has_it_no_longer(recent: Recent[str], clock: Clock) -> None:
    store = Store()
    await recent.get("a", store.look_up)
    clock.now, store.value = 11, None

    assert await recent.get("a", store.look_up) is None
    store.away = True
    with pytest.raises(CatalogueUnavailable):
        await recent.get("a", store.look_up)


async def test_old_value_is_used_and_the_store_left_alone_when_it_is_away(recent: Recent[str], clock: Clock) -> None:
    store = Store()
    await recent.get("a", store.look_up)
    store.away, clock.now = True, 11

    assert await recent.get("a", store.look_up) == "value"
    assert await recent.get("a", store.look_up) == "value"
    assert store.calls == 2


async def test_outage_is_bridged_no_longer_than_allowed(recent: Recent[str], clock: Clock) -> None:
    store = Store()
    await recent.get("a", store.look_up)
    store.away = True
    for clock.now in (50, 90):
        assert await recent.get("a", store.look_up) == "value"
    clock.now = 101

    with pytest.raises(CatalogueUnavailable):
        await recent.get("a", store.look_up)


async def test_value_is_asked_for_when_it_was_forgotten(recent: Recent[str]) -> None:
    store = Store()
    for name in ("a", "b"):
        await recent.get(name, store.look_up)
    recent.forget(lambda value: value == "another")
    await recent.get("a", store.look_up)
    assert store.calls == 2

    recent.forget(lambda value: value == "value")
    store.away = True

    for name in ("a", "b"):
        with pytest.raises(CatalogueUnavailable):
            await recent.get(name, store.look_up)


async def test_what_is_not_there_is_asked_for_each_time(recent: Recent[str]) -> None:
    store = Store()
    store.value = None
    for _ in range(3):
        assert await recent.get("a", store.look_up) is None

    assert store.calls == 3
