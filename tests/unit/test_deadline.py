from __future__ import annotations

import asyncio
import math

from backend.deadline import seconds_left, within


def test_all_the_time_is_left_when_nothing_was_said() -> None:
    assert seconds_left() == math.inf
    assert seconds_left(5.0) == 5.0


def test_the_earlier_end_holds_when_two_were_said() -> None:
    with within(100):
        with within(1000):
            assert 50 < seconds_left() <= 100
        with within(1):
            assert seconds_left() <= 1
        assert seconds_left() > 50
    assert seconds_left() == math.inf


def test_nothing_is_left_when_the_time_is_over() -> None:
    with within(-1):
        assert seconds_left(5.0) == 0


async def test_requests_have_their_own_time_when_they_are_served_together() -> None:
    async def left(seconds: float) -> float:
        with within(seconds):
            await asyncio.sleep(0)
            return seconds_left()

    short, long = await asyncio.gather(left(100), left(1000))
    assert short <= 100 < 500 < long
