"""Two servers over one Redis, which is killed, paused and started again under their hands."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import sonica_fingerprint

from tests.acceptance.sonica_process import Sonica
from tests.music import make_music, write_song
from tests.redis_server import RedisProcess, running_redis

SONGS = 6
SONG_SECONDS = 8.0


@pytest.fixture
def redis() -> Iterator[RedisProcess]:
    with running_redis() as server:
        yield server


@pytest.fixture
def sonica(tmp_path: Path, redis: RedisProcess) -> Sonica:
    """A catalogue of six songs, whose servers look for changes themselves only once an hour."""
    settings = {"SONICA_REDIS_URL": redis.url, "SONICA_INDEX_POLL_SECONDS": "3600"}
    sonica = Sonica(tmp_path / "data", settings)
    for seed in range(SONGS):
        write_song(tmp_path / "songs" / f"song-{seed}.wav", seed, SONG_SECONDS)
    sonica.run("ingest", str(tmp_path / "songs"), "--jsonl")
    return sonica


@contextmanager
def two_servers(sonica: Sonica) -> Iterator[list[str]]:
    """Serve twice; give the URLs."""
    with sonica.serving() as (_, one), sonica.serving() as (_, other):
        yield [one, other]


def query(seed: int, start_seconds: float = 2.0) -> bytes:
    start = round(start_seconds * 16_000)
    clip = make_music(seed, SONG_SECONDS)[start : start + 5 * 16_000]
    return sonica_fingerprint.encode(sonica_fingerprint.extract(clip))


def recognize(client: httpx.Client, url: str, body: bytes) -> tuple[str, str | None]:
    """Return where the answer is from, and the song that it names."""
    headers = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}
    response = client.post(f"{url}/v1/recognize", content=body, headers=headers)
    assert response.status_code == 200, response.text
    answer = response.json()
    return answer["cache"], answer["matches"][0]["song"]["external_id"] if answer["matches"] else None


def test_song_is_forgotten_by_all_servers_when_a_command_deletes_it(sonica: Sonica) -> None:
    with two_servers(sonica) as urls, httpx.Client(timeout=30) as client:
        before = [recognize(client, url, query(1)) for url in (*urls, *urls)]
        (song,) = sonica.run("songs", "list", "--where", "external_id=song-1", "--jsonl")
        sonica.run("songs", "delete", str(song["id"]), "--yes", "--json")
        ends_at = time.monotonic() + 10
        while any(named := [recognize(client, url, query(1))[1] for url in urls]) and time.monotonic() < ends_at:
            time.sleep(0.05)

    assert before == [(layer, "song-1") for layer in ("miss", "redis", "memory", "memory")]
    assert named == [None, None]


def test_no_answer_is_missing_or_wrong_when_redis_comes_and_goes(sonica: Sonica, redis: RedisProcess) -> None:
    sonica.settings.update(SONICA_CACHE_TTL_SECONDS="0.2", SONICA_CACHE_STALE_SECONDS="0")  # so Redis is asked
    bodies = [(f"song-{seed}", query(seed, start)) for seed in range(SONGS) for start in (1.0, 1.5, 2.0)]
    stopping = threading.Event()

    def ask_on(urls: list[str]) -> Counter[str]:
        layers: Counter[str] = Counter()
        with httpx.Client(timeout=30) as client:
            while not stopping.is_set():
                asked = sum(layers.values())
                name, body = bodies[asked % len(bodies)]
                layer, named = recognize(client, urls[asked % 2], body)
                assert named == name
                layers[layer] += 1
        return layers

    with two_servers(sonica) as urls, ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask_on, urls) for _ in range(4)]
        try:
            for change in (redis.kill, redis.start, redis.pause, redis.resume, redis.kill, redis.start):
                time.sleep(1.0)
                change()
            time.sleep(2.0)
        finally:
            stopping.set()
        layers = sum((each.result() for each in asking), Counter())

    assert min(layers["miss"], layers["redis"], layers["memory"]) > 0
