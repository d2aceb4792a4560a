"""Clients of one process, on one loop: each asks, waits for the answer, and compares it with the truth."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from load_testing.clips import Bodies, Body, Mix
from load_testing.connection import Connection, Response
from load_testing.truth import PATH, Asked, Truth

OK, WRONG = "ok", "wrong"
_AFTER_LOST_SECONDS = 0.02  # before a server that refuses connections is tried again


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, and how.

    rate: requests a second, all clients together, whether or not the server keeps up; None: each client sends its
    next request as soon as it has its answer. requests: after which it ends before its time.
    """

    clients: int
    seconds: float
    form: Mix = "fingerprint"
    fresh: bool = False
    rate: float | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, as whom."""

    url: str
    timeout_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)

    def connection(self) -> Connection:
        """Return a connection, not opened yet."""
        return Connection(self.url, timeout_seconds=self.timeout_seconds, headers=self.headers)


class Sample(NamedTuple):
    """One request.

    seconds counts from when it was due, not from when a client was free for it: a server that stalls does not make
    the requests that wait disappear (Tene's "coordinated omission").
    """

    ended: float  # time.monotonic()
    seconds: float
    late_seconds: float  # of these, what the generator slept too long
    outcome: str  # OK, WRONG, or what went wrong: "503 overloaded", "TimeoutError"
    cache: str  # "miss", "memory", "redis", or "" where there is no answer


async def send(
    target: Target,
    asked: Asked,
    load: Load,
    on_sample: Callable[[Sample], None],
    *,
    until: Callable[[], float] = lambda: math.inf,
) -> None:
    """Send a load, or what is due of it until then (time.monotonic()), and tell of each request."""
    bodies = Bodies(asked.clips, load.form, fresh=load.fresh)
    dues = _dues(load, time.monotonic(), until)

    async def client() -> None:
        async with target.connection() as connection:
            for number, due in dues:
                slept = time.monotonic() < due
                if slept:
                    await asyncio.sleep(due - time.monotonic())
                body = bodies(number)
                started = time.monotonic()
                outcome, cache = await _ask(connection, body, asked.truths[body.clip])
                ended = time.monotonic()
                since = started if load.rate is None else due
                on_sample(Sample(ended, ended - since, started - due if slept else 0.0, outcome, cache))

    await asyncio.gather(*(client() for _ in range(load.clients)))


def _dues(load: Load, start: float, until: Callable[[], float]) -> Iterator[tuple[int, float]]:
    """Number the requests and say when each is to be sent; shared by all clients, so none waits for a busy one."""
    for number in itertools.count() if load.requests is None else range(load.requests):
        due = time.monotonic() if load.rate is None else start + number / load.rate
        if due >= min(start + load.seconds, until()):
            return
        yield number, due


async def _ask(connection: Connection, body: Body, truth: Truth) -> tuple[str, str]:
    try:
        response = await connection.post(PATH, body.content, body.content_type)
    except OSError as error:
        if not isinstance(error, TimeoutError):
            await asyncio.sleep(_AFTER_LOST_SECONDS)
        return type(error).__name__, ""
    if response.status != 200:
        return _problem(response), ""
    answer = json.loads(response.content)
    return (OK if Truth.of(answer).agrees(truth) else WRONG), answer["cache"]


def _problem(response: Response) -> str:
    """Name a problem by its status and code, and say so where it should tell when to come again and does not."""
    try:
        code = json.loads(response.content)["code"]
    except (ValueError, KeyError, TypeError):
        code = "of no known form"
    silent = response.status in (429, 503) and "retry-after" not in response.headers
    return f"{response.status} {code}{', no Retry-After' if silent else ''}"
