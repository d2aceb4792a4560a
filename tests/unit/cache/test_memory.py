from __future__ import annotations

import pytest

from backend.cache.kept import Codec, Kept
from backend.cache.lifetime import FORGOTTEN_SECONDS, Lifetime
from backend.cache.memory import ENTRY_BYTES, OBJECT_FACTOR, MemoryLayer

CODEC: Codec[str] = Codec(str, version="1")
FOREVER = 1e12


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> MemoryLayer:
    return MemoryLayer(100_000, Lifetime(300.0, stale_seconds=60.0, jitter=0), timer=clock)


def size_of(value: str) -> int:
    return ENTRY_BYTES + round(OBJECT_FACTOR * len(CODEC.encode("x", Kept(value, 1300.0))))


async def kept(memory: MemoryLayer, *keys: str) -> set[str]:
    return set(await memory.get_many(keys, CODEC))


async def test_oldest_value_goes_when_the_bytes_are_used_up(clock: Clock) -> None:
    memory = MemoryLayer(2 * size_of("v" * 100), Lifetime(300.0, jitter=0), timer=clock)
    for key in ("a", "b", "c"):
        await memory.put_many({key: Kept("v" * 100, FOREVER)}, CODEC)

    assert await kept(memory, "a", "b", "c") == {"b", "c"}
    assert memory.size_bytes == 2 * size_of("v" * 100)


async def test_others_stay_when_a_value_is_too_large(memory: MemoryLayer) -> None:
    await memory.put_many({"a": Kept("small", FOREVER)}, CODEC)
    await memory.put_many({"b": Kept("v" * 100_000, FOREVER)}, CODEC)

    assert await kept(memory, "a", "b") == {"a"}


async def test_value_is_kept_no_longer_than_the_layer_allows(memory: MemoryLayer, clock: Clock) -> None:
    await memory.put_many({"a": Kept("v", FOREVER)}, CODEC)

    assert (await memory.get_many(["a"], CODEC))["a"].fresh_until == clock.seconds + 300
    clock.seconds += 359
    assert await kept(memory, "a") == {"a"}
    clock.seconds += 2
    assert await kept(memory, "a") == set()


async def test_values_end_at_different_times_when_they_came_together(clock: Clock) -> None:
    memory = MemoryLayer(100_000, Lifetime(300.0, jitter=0.1), timer=clock)
    for key in "abcdefgh":
        await memory.put_many({key: Kept("v", FOREVER)}, CODEC)

    ends = {each.fresh_until - clock.seconds for each in (await memory.get_many("abcdefgh", CODEC)).values()}

    assert len(ends) > 1
    assert all(270 <= end <= 300 for end in ends)


async def test_value_that_was_fetched_before_is_not_kept_when_its_key_was_forgotten(
    memory: MemoryLayer, clock: Clock
) -> None:
    await memory.put_many({"a": Kept("old", FOREVER)}, CODEC)
    await memory.forget(["a", "b"])
    await memory.put_many({"a": Kept("old", FOREVER)}, CODEC)
    await memory.put_many({"b": Kept("old", FOREVER)}, CODEC)

    assert await kept(memory, "a", "b") == set()

    clock.seconds += FORGOTTEN_SECONDS + 1
    await memory.put_many({"a": Kept("new", FOREVER)}, CODEC)
    assert await kept(memory, "a", "b") == {"a"}


async def test_nothing_is_kept_when_all_is_cleared(memory: MemoryLayer) -> None:
    await memory.put_many({"a": Kept("v", FOREVER)}, CODEC)
    memory.clear()

    assert await kept(memory, "a") == set()
    assert memory.size_bytes == 0
