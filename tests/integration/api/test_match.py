from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import sonica_fingerprint

from backend.composition import Origin
from backend.settings import Settings
from tests.music import make_music
from tests.origins import SONG_SECONDS, open_in_memory_origin, serving

HEARD = sonica_fingerprint.extract(make_music(2, SONG_SECONDS)[8 * 16_000 : 13 * 16_000])
UNKNOWN = sonica_fingerprint.extract(make_music(99, 5.0))


async def post(client: httpx.AsyncClient, fingerprint: sonica_fingerprint.Fingerprint) -> dict[str, object]:
    headers = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}
    response = await client.post("/v1/recognize", content=sonica_fingerprint.encode(fingerprint), headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


@pytest.mark.parametrize("fingerprint", [HEARD, HEARD.thinned(4)], ids=["whole", "thinned"])
async def test_answer_is_the_posted_one_when_the_fingerprint_is_known(
    client: httpx.AsyncClient, fingerprint: sonica_fingerprint.Fingerprint
) -> None:
    posted = await post(client, fingerprint)

    response = await client.get(f"/v1/match/{fingerprint.key}")

    assert response.status_code == 200
    answer = response.json()
    own = {"request_id", "cache", "timings_ms"}
    assert {name: answer[name] for name in answer if name not in own} == {
        name: posted[name] for name in posted if name not in own
    }
    assert (answer["status"], answer["cache"], answer["timings_ms"]) == ("match", "memory", {})


@pytest.mark.parametrize(("fingerprint", "seconds"), [(HEARD, 120), (UNKNOWN, 7)], ids=["match", "no_match"])
async def test_answer_may_be_kept_as_long_as_here_when_it_is_given(
    tmp_path: Path, fingerprint: sonica_fingerprint.Fingerprint, seconds: int
) -> None:
    async with serving(tmp_path, cache_ttl_seconds=120, cache_no_match_ttl_seconds=7) as client:
        await post(client, fingerprint)
        response = await client.get(f"/v1/match/{fingerprint.key}")

    assert response.headers["cache-control"] == f"public, max-age={seconds}"


async def test_answer_is_the_callers_alone_when_callers_must_say_who_they_are(tmp_path: Path) -> None:
    @asynccontextmanager
    async def open_origin(settings: Settings) -> AsyncIterator[Origin]:
        async with open_in_memory_origin(settings) as origin:
            yield replace(origin, settings=settings.model_copy(update={"auth": "on"}))

    async with serving(tmp_path, open_origin=open_origin, cache_ttl_seconds=120) as client:
        await post(client, HEARD)
        response = await client.get(f"/v1/match/{HEARD.key}")

    assert response.headers["cache-control"] == "private, max-age=120"


async def test_nothing_is_sent_again_when_the_caller_has_the_answer(client: httpx.AsyncClient) -> None:
    await post(client, HEARD)
    first = await client.get(f"/v1/match/{HEARD.key}")

    again = await client.get(f"/v1/match/{HEARD.key}", headers={"If-None-Match": first.headers["etag"]})
    other = await client.get(f"/v1/match/{HEARD.key}", headers={"If-None-Match": 'W/"other"'})

    assert (again.status_code, again.content, other.status_code) == (304, b"", 200)
    assert again.headers["etag"] == other.headers["etag"] == first.headers["etag"]
    assert again.headers["cache-control"] == first.headers["cache-control"]


async def test_etags_differ_when_the_answers_do(client: httpx.AsyncClient) -> None:
    for fingerprint in (HEARD, UNKNOWN):
        await post(client, fingerprint)

    tags = {(await client.get(f"/v1/match/{each.key}")).headers["etag"] for each in (HEARD, UNKNOWN)}

    assert len(tags) == 2


async def test_caller_is_told_to_post_when_the_fingerprint_is_unknown(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/v1/match/{HEARD.key}")

    assert (response.status_code, response.json()["code"]) == (404, "match_not_found")
    assert "POST" in response.json()["detail"]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "public, max-age=5"


@pytest.mark.parametrize("key", ["abc", HEARD.key.upper(), HEARD.key + "0", "g" * 64])
async def test_key_is_refused_when_it_is_none(client: httpx.AsyncClient, key: str) -> None:
    response = await client.get(f"/v1/match/{key}")

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert response.headers["cache-control"] == "no-store"


async def test_answer_counts_as_one_from_memory_when_it_is_given(client: httpx.AsyncClient) -> None:
    await post(client, HEARD)
    await client.get(f"/v1/match/{HEARD.key}")

    metrics = (await client.get("/metrics")).text

    assert 'sonica_recognitions_total{cache="memory",outcome="match",reason="none",tier="origin"} 1.0' in metrics


async def test_documentation_has_each_answer_when_it_is_read(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    operation = document["paths"]["/v1/match/{key}"]["get"]
    assert operation["responses"].keys() == {"200", "304", "404", "422"}
    missing = operation["responses"]["404"]["content"]["application/problem+json"]["examples"]
    assert missing["match_not_found"]["value"]["status"] == 404
    assert len(operation["parameters"][0]["schema"]["examples"][0]) == 64
