"""Quotas over HTTP: in one process, and shared by two through a real Redis that is killed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.accounts import Service, bearer, guarded_service
from tests.redis_server import RedisProcess, running_cluster, running_redis


async def get(service: Service, headers: dict[str, str], *, path: str = "/v1/me") -> Any:
    return await service.client.get(path, headers=headers)


@pytest.fixture
async def service(tmp_path: Path, database_url: str) -> AsyncIterator[Service]:
    async with guarded_service(tmp_path, database_url, rate_limit_free=3, rate_limit_address=6) as service:
        yield service


async def test_user_is_told_of_the_quota_and_refused_beyond_it(service: Service) -> None:
    user = await service.add_user()
    first, second = bearer(await service.key_of(user)), bearer(await service.key_of(user))

    answers = [await get(service, headers) for headers in (first, second, first, second)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"user";q=3;w=900, "address";q=6;w=900'
    assert answers[0].headers["ratelimit"] == '"user";r=2;t=900, "address";r=5;t=900'
    refused = answers[-1]
    assert refused.json()["code"] == "too_many_requests"
    user_limit = re.match(r'"user";r=0;t=(\d+)', refused.headers["ratelimit"])
    assert user_limit is not None
    assert int(refused.headers["retry-after"]) >= int(user_limit[1])


async def test_free_users_of_one_address_share_its_quota(service: Service) -> None:
    keys = [bearer(await service.key_of(await service.add_user(name))) for name in "abc"]

    statuses = [(await get(service, keys[number % 3])).status_code for number in range(8)]

    assert statuses == [200] * 6 + [429] * 2


async def test_address_is_refused_when_it_goes_on_without_credentials(service: Service) -> None:
    statuses = [(await get(service, {})).status_code for _ in range(4)]
    statuses += [(await get(service, bearer("sk_nonsense"))).status_code for _ in range(4)]

    assert statuses == [401] * 6 + [429] * 2
    known = bearer(await service.key_of(await service.add_user("boss", "admin")))
    assert (await get(service, known)).status_code == 200  # is known by name, not by where it comes from


async def test_quota_grows_with_the_role(tmp_path: Path, database_url: str) -> None:
    quotas = {"rate_limit_free": 1, "rate_limit_premium": 2, "rate_limit_admin": 3}
    async with guarded_service(tmp_path, database_url, **quotas) as service:
        for role, quota in (("free", 1), ("premium", 2), ("admin", 3)):
            headers = bearer(await service.key_of(await service.add_user(role, role)))
            statuses = [(await get(service, headers)).status_code for _ in range(4)]
            assert statuses.count(200) == quota


async def test_addresses_are_told_apart_only_where_a_proxy_is_trusted(tmp_path: Path, database_url: str) -> None:
    for proxies, statuses in (("", [401, 429]), ("127.0.0.1", [401, 401])):
        async with guarded_service(
            tmp_path / proxies, database_url, rate_limit_address=1, trusted_proxies=proxies
        ) as service:
            answers = [await get(service, {"X-Forwarded-For": f"198.51.100.{number}"}) for number in range(2)]
        assert [answer.status_code for answer in answers] == statuses


async def test_health_and_documentation_are_never_refused(service: Service) -> None:
    for _ in range(20):
        assert (await get(service, {}, path="/livez")).status_code == 200
    answer = await get(service, {}, path="/openapi.json")
    assert answer.status_code == 200
    assert "ratelimit" not in answer.headers


async def two_services(
    stack: AsyncExitStack, folder: Path, database_url: str, redis_url: str, **settings: Any
) -> list[Service]:
    """Run two servers over one database and one Redis."""
    waiting = {"redis_timeout_seconds": 5.0, "redis_failures_max": 1, "redis_retry_seconds": 0.001, **settings}
    return [
        await stack.enter_async_context(
            guarded_service(folder / name, database_url, redis_url=redis_url, rate_limit_free=4, **waiting)
        )
        for name in "ab"
    ]


async def test_servers_share_the_quota_when_they_share_a_redis(
    tmp_path: Path, database_url: str, redis_process: RedisProcess
) -> None:
    async with AsyncExitStack() as stack:
        one, other = await two_services(stack, tmp_path, database_url, redis_process.url)
        headers = bearer(await one.key_of(await one.add_user()))

        answers = [await get(each, headers) for each in (one, other, one, other, one, other)]

    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == [
        "r=3",
        "r=2",
        "r=1",
        "r=0",
        "r=0",
        "r=0",
    ]
    with redis_process.client() as client:
        keys = list(client.scan_iter("sonica:quota*"))
        assert len(keys) == 2
        assert all(0 < client.ttl(key) <= 900 for key in keys)


@pytest.mark.parametrize("nodes", [1, 3])
async def test_servers_share_the_quota_when_the_redis_is_a_cluster(
    tmp_path: Path, database_url: str, nodes: int
) -> None:
    with running_cluster(nodes) as url:
        async with AsyncExitStack() as stack:
            services = await two_services(stack, tmp_path, database_url, url)
            for name in ("someone", "another", "a third"):  # counted in slots of their own
                headers = bearer(await services[0].key_of(await services[0].add_user(name)))
                statuses = [(await get(services[number % 2], headers)).status_code for number in range(6)]
                assert statuses == [200] * 4 + [429] * 2


async def test_each_server_counts_for_itself_while_redis_is_away_and_together_after(
    tmp_path: Path, database_url: str
) -> None:
    with running_redis() as redis:
        async with AsyncExitStack() as stack:
            one, other = await two_services(stack, tmp_path, database_url, redis.url)
            headers = bearer(await one.key_of(await one.add_user()))
            assert (await get(one, headers)).status_code == 200

            redis.kill()
            alone = [[(await get(each, headers)).status_code for _ in range(5)] for each in (one, other)]
            redis.start()
            together = [(await get(each, headers)).status_code for each in (one, other, one, other, one)]

    assert alone == [[200] * 4 + [429]] * 2
    assert together == [200] * 4 + [429]


async def test_nobody_waits_long_when_redis_hangs(tmp_path: Path, database_url: str) -> None:
    with running_redis() as redis:
        async with AsyncExitStack() as stack:
            one, _ = await two_services(stack, tmp_path, database_url, redis.url, redis_timeout_seconds=0.2)
            headers = bearer(await one.key_of(await one.add_user()))
            redis.pause()
            statuses = [(await get(one, headers)).status_code for _ in range(5)]
            redis.resume()

    assert statuses == [200] * 4 + [429]
