"""The way to Redis, the only importer of redis: each question has a deadline, and no answer is an answer too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from backend.breaker import Breaker

T = TypeVar("T")

_log = structlog.stdlib.get_logger("sonica.redis")
_FORGOTTEN = b"forgotten"  # stands at a key for some seconds; no JSON
_HEARTBEAT_SECONDS = 5.0  # a listener that hears nothing asks whether it is still heard
_CONNECTIONS_MAX = 32  # a question takes 0.2 ms of one

# Each script works on one key, so it runs on a cluster too. A key of another type is overwritten.
_PUT_UNLESS_FORGOTTEN = """
if redis.pcall('GET', KEYS[1]) == 'forgotten' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_END_TURN = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_NOTE = """
for each = 4, #ARGV do redis.call('ZADD', KEYS[1], ARGV[1], ARGV[each]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""


class RedisServer:
    """One Redis, or a cluster of them. Every method returns None when it does not answer, or not in time."""

    def __init__(self, url: str, *, prefix: str, timeout_seconds: float, breaker: Breaker) -> None:
        """url: redis, rediss or unix; redis+cluster and rediss+cluster for a cluster. prefix: of all keys."""
        self._client = _client(url, timeout_seconds)
        self._prefix = prefix
        self._timeout_seconds = timeout_seconds
        self._breaker = breaker
        self._channel = f"{prefix}changes"

    @property
    def away(self) -> bool:
        """Whether it has failed so often that it is left alone for now."""
        return self._breaker.open

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ping(self) -> bool:
        """Say whether it answers."""
        return await self._ask(self._client.ping) is not None

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes] | None:
        """Return what is at these keys; a key of another type, or just forgotten, is as good as empty."""
        answers = await self._ask(lambda: self._piped([("GET", self._prefix + key) for key in keys]))
        if answers is None:
            return None
        return {
            key: answer
            for key, answer in zip(keys, answers, strict=True)
            if isinstance(answer, bytes) and answer != _FORGOTTEN
        }

    async def put_many(self, values: Mapping[str, tuple[bytes, float]]) -> None:
        """Keep values, each for its seconds, but for those whose keys were forgotten while they were fetched."""
        commands = [
            ("EVAL", _PUT_UNLESS_FORGOTTEN, 1, self._prefix + key, value, max(1, round(seconds * 1000)))
            for key, (value, seconds) in values.items()
        ]
        await self._ask(lambda: self._piped(commands))

    async def forget(self, keys: Sequence[str], *, seconds: float) -> bool | None:
        """Delete these, keep out for some seconds what was fetched before, and tell all processes."""
        milliseconds = round(seconds * 1000)
        commands: list[tuple[Any, ...]] = []
        for key in (self._prefix + key for key in keys):
            commands += [("DEL", key), ("SET", key, _FORGOTTEN, "PX", milliseconds)]  # DEL works in a full memory too
        if await self._ask(lambda: self._piped(commands)) is None:
            return None
        return await self._ask(lambda: self._client.publish(self._channel, "\n".join(keys))) is not None or None

    async def take_turn(self, key: str, token: str, *, seconds: float) -> bool | None:
        """Take the only turn at this key, which ends by itself after its time; False when somebody has it."""
        name, milliseconds = f"{self._prefix}turn:{key}", round(seconds * 1000)
        return await self._ask(lambda: self._taken(name, token, milliseconds))

    async def end_turn(self, key: str, token: str) -> None:
        """Give the turn back, if it is still that of this token."""
        await self._ask(lambda: self._client.eval(_END_TURN, 1, f"{self._prefix}turn:{key}", token))

    async def note(
        self, name: str, members: Sequence[int], *, at: float, limit: int, ttl_seconds: float
    ) -> bool | None:
        """Put members at the new end of a list without doubles, of which the newest `limit` are kept."""
        arguments = [str(at), str(limit), str(round(ttl_seconds * 1000)), *map(str, members)]
        return await self._ask(lambda: self._client.eval(_NOTE, 1, self._prefix + name, *arguments)) is not None or None

    async def noted(self, name: str, *, limit: int) -> list[bytes] | None:
        """Return the members of that list, the newest first."""
        return await self._ask(lambda: self._client.zrevrange(self._prefix + name, 0, limit - 1))

    async def listen(self, *, on_start: Callable[[], None], on_keys: Callable[[list[str]], None]) -> None:
        """Call on_keys with all keys that any process forgets, until the connection is lost.

        on_start is called before: whatever was forgotten until then may have been missed.
        """
        async with self._client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            while True:
                message = await _next_message(subscription)
                if message["type"] == "subscribe":
                    on_start()
                elif message["type"] == "message":
                    on_keys(message["data"].decode("utf-8", "replace").split("\n"))

    async def _piped(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, ResponseError):
                _log.warning("redis_refuses", error=str(answer))
                break
        return answers

    async def _taken(self, name: str, token: str, milliseconds: int) -> bool:
        return bool(await self._client.set(name, token, nx=True, px=milliseconds))

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        if not self._breaker.allows():
            return None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await question()
        except ResponseError as error:  # it answers, if only that its memory is full
            self._breaker.succeeded()
            _log.warning("redis_refuses", error=str(error))
            return None
        except Exception as error:  # whatever the driver raises: no request fails for it
            self._failed(error)
            return None
        self._breaker.succeeded()
        return answer

    def _failed(self, error: Exception) -> None:
        was_open = self._breaker.open
        self._breaker.failed()
        if self._breaker.open and not was_open:
            _log.warning("redis_left_alone", error=repr(error))


async def _next_message(subscription: PubSub) -> dict[str, Any]:
    """Wait for a message of any kind; raises ConnectionLost when not even a ping is answered."""
    for _ in range(2):
        message: dict[str, Any] | None = await subscription.get_message(timeout=_HEARTBEAT_SECONDS)
        if message is not None:
            return message
        await subscription.ping()
    raise ConnectionLost("the subscription is dead")


def client_options(timeout_seconds: float) -> dict[str, Any]:
    """Return the options of every connection to Redis."""
    return {
        "protocol": 2,
        # Longer than a question's deadline, which cancels what it ends: redis-py mixes up the two where they meet.
        "socket_timeout": 2 * timeout_seconds,
        "socket_connect_timeout": 2 * timeout_seconds,
        # Once, at once: a connection that was idle while the server restarted is dead, the server is not.
        "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,)),
    }


def _client(url: str, timeout_seconds: float) -> Any:  # noqa: ANN401  # Redis and RedisCluster share no base
    options = client_options(timeout_seconds)
    scheme, cluster, rest = url.partition("+cluster://")
    if cluster:
        return RedisCluster.from_url(f"{scheme}://{rest}", **options)
    return Redis.from_pool(
        BlockingConnectionPool.from_url(url, max_connections=_CONNECTIONS_MAX, timeout=None, **options)
    )
