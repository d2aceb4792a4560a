from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backend.breaker import Breaker
from backend.cache import windows
from backend.cache.quotas import Quotas
from backend.cache.windows import WindowsInMemory


class Clock:
    """The time of day, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("backend.cache.windows.time.time", clock.time)
    return clock


@pytest.fixture
def quotas(clock: Clock) -> Quotas:
    return Quotas(window_seconds=900, timeout_seconds=1, breaker=Breaker(failures_max=1, retry_seconds=1))


async def test_requests_are_granted_until_the_quota_is_used_up(quotas: Quotas) -> None:
    standings = [await quotas.take("user", "1", 3) for _ in range(5)]

    assert [standing.granted for standing in standings] == [True, True, True, False, False]
    assert [standing.remaining for standing in standings] == [2, 1, 0, 0, 0]


async def test_partitions_and_policies_are_counted_apart(quotas: Quotas) -> None:
    for policy, partition in (("user", "1"), ("user", "2"), ("address", "1")):
        assert (await quotas.take(policy, partition, 1)).granted


async def test_quota_is_new_when_the_window_has_ended_and_not_before(quotas: Quotas, clock: Clock) -> None:
    assert (await quotas.take("user", "1", 1)).reset_seconds == 900
    clock.now += 600
    refused = await quotas.take("user", "1", 1)  # does not prolong the window
    assert (refused.granted, refused.reset_seconds) == (False, 300)
    clock.now += 300

    assert (await quotas.take("user", "1", 1)).granted


async def test_memory_is_bounded_when_callers_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_COUNTERS_MAX", 10)
    counters = WindowsInMemory(900)
    for number in range(50):
        await counters.incr(str(number), 900)

    assert await counters.reset() == 10
    assert await counters.get("49") == 0


def test_redis_is_not_loaded_when_none_is_named(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from backend.app import create_app
from backend.cache.quotas import Quotas
from backend.settings import Settings
settings = Settings(data_dir=Path(sys.argv[1]), auth="on")
create_app(settings)
Quotas.from_settings(settings)
print([name for name in sys.modules if name.split(".")[0] == "redis"])
"""
    run = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
