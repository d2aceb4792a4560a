from __future__ import annotations

import pytest

from backend.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(failures_max=3, retry_seconds=5.0, timer=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_calls_are_allowed_when_failures_are_few(breaker: Breaker) -> None:
    fail(breaker, 2)

    assert (breaker.open, breaker.allows()) == (False, True)


def test_calls_are_kept_away_when_failures_are_many(breaker: Breaker) -> None:
    fail(breaker, 3)

    assert (breaker.open, breaker.allows()) == (True, False)


def test_failures_are_forgotten_when_a_call_succeeds_between(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)

    assert breaker.allows()


def test_calls_are_kept_away_when_it_is_tripped_until_the_time_is_over(breaker: Breaker, clock: Clock) -> None:
    breaker.trip()
    at_once = breaker.allows()
    clock.seconds = 5.0

    assert (breaker.open, at_once, breaker.allows()) == (True, False, True)


def test_one_call_probes_when_the_time_is_over(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.seconds = 5.0

    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_all_calls_are_allowed_when_the_probe_succeeds(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.seconds = 5.0
    breaker.allows()
    breaker.succeeded()

    assert [breaker.allows() for _ in range(3)] == [True] * 3


def test_the_wait_starts_anew_when_the_probe_fails(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.seconds = 5.0
    breaker.allows()
    breaker.failed()

    clock.seconds = 9.0
    assert not breaker.allows()
    clock.seconds = 10.0
    assert breaker.allows()


def test_another_call_probes_when_the_probe_never_reports(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.seconds = 5.0
    breaker.allows()

    clock.seconds = 10.0
    assert breaker.allows()
