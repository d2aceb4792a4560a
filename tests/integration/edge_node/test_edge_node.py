"""A node with a signed bundle and an origin behind it: what it answers alone, what it asks, what it says."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import soxr
from sonica_fingerprint import CONTENT_TYPE, OTHER_SPEEDS, decode, encode, extract
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.app import create_app
from backend.bundles.publisher import Publisher
from backend.bundles.publishing import Plan, publish_hot
from backend.bundles.signatures import public_text
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.composition import Origin as Core
from backend.edge_node.app import create_edge_app
from backend.edge_node.hot_songs import HotSongs
from backend.edge_node.origin import Origin
from backend.search.hot_bundle import EDGE_FALSE_ACCEPT_RATE, make_bundle
from backend.settings import Settings
from tests.bundles import SIGNER, STRANGER, folder_place
from tests.clips import encoded
from tests.music import make_music
from tests.origins import SONG_SECONDS, client_of, open_in_memory_origin

LIMITS = {"clip_seconds_max": 20.0, "candidates_max": 24, "false_accept_rate": EDGE_FALSE_ACCEPT_RATE}
HOT, COLD = 1, 2  # of the origin's songs


def clip(seed: int, *, speed: float = 1.0) -> bytes:
    """Five seconds of a song, played at a speed."""
    played = make_music(seed, SONG_SECONDS)[8 * 16_000 :][: int(5 * speed * 16_000)]
    return encoded(soxr.resample(played, 16_000 * speed, 16_000)[:, None], rate_hz=16_000)


@dataclass
class Behind:
    """The origin, what it was asked, and whether it is away."""

    app: ASGIApp
    asked: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.away:
            raise httpx.ConnectError("refused")

        async def received() -> Any:
            message = await receive()
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            if message.get("body"):
                self.asked.append({"headers": headers, "body": message["body"]})
            return message

        await self.app(scope, received, send)


@dataclass
class World:
    """A node, the origin behind it, and where bundles are published."""

    settings: Settings
    core: Core
    behind: Behind
    publisher: Publisher

    async def publish(self, *song_ids: int, publisher: Publisher | None = None) -> None:
        """Publish the hot bundle of these songs."""
        songs = (await self.core.catalogue.songs(song_ids)).values()
        body = make_bundle(self.core.index, sorted(songs, key=lambda song: song.id), limits=LIMITS)
        publish_hot(body, catalogue="c", revision=2, publisher=publisher or self.publisher, plan=Plan(whole=True))

    @asynccontextmanager
    async def node(self) -> AsyncIterator[httpx.AsyncClient]:
        """Start the node; yield a client of it."""
        app = create_edge_app(self.settings)
        async with app.router.lifespan_context(app), client_of(app) as client:
            client.hot_songs = app.state.parts.hot_songs
            yield client


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """An origin that knows songs 1 and 2; nothing is published yet."""
    place = folder_place(tmp_path / "bundles")
    core_settings = Settings(data_dir=tmp_path / "core")
    app = create_app(core_settings, open_origin=open_in_memory_origin)
    async with app.router.lifespan_context(app):
        behind = Behind(app)
        transport = httpx.ASGITransport(behind)
        monkeypatch.setattr(
            Origin, "from_settings", lambda settings: Origin("http://origin", seconds_max=10, transport=transport)
        )
        settings = Settings(
            data_dir=tmp_path / "node", bundle_url=str(tmp_path / "bundles"), bundle_public_keys=public_text(SIGNER)
        )
        yield World(settings, app.state.origin, behind, place.publisher(channel="hot"))


async def test_hot_song_is_named_as_the_origin_does_and_without_it(world: World) -> None:
    await world.publish(HOT)
    async with world.node() as node:
        answer = (await node.post("/v1/recognize", content=clip(HOT))).json()
        asked = list(world.behind.asked)
        by_origin = (await client_of(world.behind.app).post("/v1/recognize", content=clip(HOT))).json()

    assert asked == []
    assert (answer["status"], answer["tier"], answer["matches"][0]["song"]["id"]) == ("match", "edge", HOT)
    assert answer.keys() == by_origin.keys()
    assert answer["matches"][0]["song"] == by_origin["matches"][0]["song"]
    assert answer["matches"][0]["offset_ms"] == by_origin["matches"][0]["offset_ms"]
    assert answer["query"] == by_origin["query"]


async def test_other_song_is_asked_of_the_origin_by_its_fingerprint(world: World) -> None:
    await world.publish(HOT)
    async with world.node() as node:
        headers = {"Authorization": "Bearer sk_caller", "Cookie": "secret"}
        response = await node.post("/recognize", content=clip(COLD), headers=headers)
    (asked,) = world.behind.asked

    assert response.json()["matches"][0]["song"]["id"] == COLD
    assert response.json()["tier"] == "origin"
    assert decode(asked["body"]).duration_ms == 5000
    assert asked["headers"]["content-type"] == CONTENT_TYPE
    assert asked["headers"]["authorization"] == "Bearer sk_caller"
    assert asked["headers"]["x-request-id"] == response.headers["x-request-id"]
    assert "cookie" not in asked["headers"]


async def test_clip_is_named_when_it_was_played_at_another_speed(world: World) -> None:
    await world.publish(HOT)
    async with world.node() as node:
        hot = (await node.post("/v1/recognize", content=clip(HOT, speed=1.12))).json()
        asked_of_hot = [decode(asked["body"]).speed for asked in world.behind.asked]
        cold = (await node.post("/v1/recognize", content=clip(COLD, speed=1.12))).json()
        unknown = (await node.post("/v1/recognize", content=clip(77))).json()
    asked = [decode(asked["body"]).speed for asked in world.behind.asked]

    assert (hot["tier"], hot["matches"][0]["song"]["id"]) == ("edge", HOT)
    assert hot["matches"][0]["segments"][0]["speed"] == pytest.approx(1.12, abs=0.022)
    assert (cold["tier"], cold["matches"][0]["song"]["id"]) == ("origin", COLD)
    assert (unknown["status"], unknown["reason"]) == ("no_match", "below_threshold")
    assert asked_of_hot == [1.0, 0.94]
    assert asked == [*asked_of_hot, 1.0, *OTHER_SPEEDS, 1.0, *OTHER_SPEEDS]


async def test_first_answer_stays_when_the_origin_goes_away_before_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.node() as node:
        behind, app = world.behind, world.behind.app

        async def answer_once(scope: Scope, receive: Receive, send: Send) -> None:
            behind.away = True
            await app(scope, receive, send)

        monkeypatch.setattr(behind, "app", answer_once)
        answer = await node.post("/v1/recognize", content=clip(77))
        behind.away = False

    assert (answer.status_code, answer.json()["reason"]) == (200, "below_threshold")


async def test_fingerprint_is_asked_about_once_when_somebody_else_made_it(world: World) -> None:
    await world.publish(HOT)
    async with world.node() as node:
        await node.post(
            "/v1/recognize", content=encode(extract(make_music(77, 5))), headers={"Content-Type": CONTENT_TYPE}
        )
    assert len(world.behind.asked) == 1


async def test_node_answers_alone_when_the_origin_is_away(world: World) -> None:
    await world.publish(HOT)
    world.behind.away = True
    async with world.node() as node:
        hot = await node.post("/v1/recognize", content=clip(HOT))
        silence = await node.post("/v1/recognize", content=encoded(0 * make_music(1, 3)[:, None], rate_hz=16_000))
        others = [await node.post("/v1/recognize", content=clip(COLD)) for _ in range(4)]
        ready = await node.get("/readyz")
        world.behind.away = False

    assert hot.json()["matches"][0]["song"]["id"] == HOT
    assert silence.json()["reason"] == "silence"
    assert {(other.status_code, other.json()["code"]) for other in others} == {(503, "origin_unavailable")}
    assert others[0].headers["retry-after"] == "1"
    assert (ready.status_code, ready.json()["degraded"]) == (200, ["origin"])  # the breaker leaves it alone


async def test_what_the_origin_says_is_passed_on(world: World) -> None:
    await world.publish(HOT)
    async with world.node() as node:
        candidates = await node.post("/v1/recognize?include=candidates", content=clip(HOT))
        refused = await node.post("/v1/recognize?include=nothing", content=clip(HOT))
        bad = await node.post("/v1/recognize", content=b"no audio")
        fingerprint = await node.post(
            "/v1/recognize", content=encode(extract(make_music(HOT, 6))), headers={"Content-Type": CONTENT_TYPE}
        )

    assert candidates.json()["candidates"]
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert (bad.status_code, bad.json()["code"]) == (415, "unsupported_audio")
    assert fingerprint.json()["tier"] == "edge"


async def test_new_bundle_is_taken_and_a_strangers_or_an_older_one_is_not(world: World) -> None:
    place = folder_place(Path(str(world.settings.bundle_url)))
    async with world.node() as node:
        hot_songs: HotSongs = node.hot_songs
        before = (await node.get("/readyz")).json()
        await world.publish(HOT)
        loaded = [await hot_songs.refresh(), await hot_songs.refresh()]
        old_pointer = (Path(str(world.settings.bundle_url)) / "hot/current").read_bytes()
        await world.publish(HOT, COLD)
        loaded.append(await hot_songs.refresh())
        both = (await node.post("/v1/recognize", content=clip(COLD))).json()["tier"]
        (Path(str(world.settings.bundle_url)) / "hot/current").write_bytes(old_pointer)
        loaded.append(await hot_songs.refresh())
        stale = hot_songs.problem
        await world.publish(HOT, publisher=place.publisher(channel="hot", key=STRANGER, trusted={}))
        loaded.append(await hot_songs.refresh())
        after = (await node.get("/readyz")).json()

    assert before["degraded"] == ["bundle"]
    assert loaded == [True, False, True, False, False]
    assert both == "edge"
    assert "pointed to" in str(stale)
    assert (after["songs"], after["degraded"]) == (2, ["bundle"])


async def test_node_starts_with_the_bundle_that_it_has_when_the_store_is_away(world: World) -> None:
    await world.publish(HOT)
    async with world.node():
        pass
    os.rename(str(world.settings.bundle_url), f"{world.settings.bundle_url}-gone")  # noqa: PTH104  # ASYNC240
    world.behind.away = True
    async with world.node() as node:
        answer = await node.post("/v1/recognize", content=clip(HOT))
        ready = (await node.get("/readyz")).json()
    world.behind.away = False

    assert answer.json()["tier"] == "edge"
    assert ready["degraded"] == ["bundle"]


async def test_node_is_not_ready_when_it_has_neither_bundle_nor_origin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Origin, "from_settings", lambda settings: None)
    async with world.node() as node:
        ready, answer = await node.get("/readyz"), await node.post("/v1/recognize", content=clip(HOT))

    assert (ready.status_code, ready.json()["errors"][0]["location"]) == (503, "bundle")
    assert (answer.status_code, answer.json()["code"]) == (503, "origin_unavailable")
    assert json.loads(answer.content)["type"].endswith("origin_unavailable")
    assert isinstance(world.core.catalogue, InMemoryCatalogue)  # no database anywhere
