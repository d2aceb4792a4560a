"""A thousand hostile bodies against the running server: each is answered, and nothing stays behind."""

from __future__ import annotations

import gc
import json
import select
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.acceptance.hostile_bodies import Hostile, hostile_bodies, original
from tests.acceptance.sonica_process import Sonica

SEED = 20_260_101
COUNT = 1_000
WARM_UP = 200  # bodies after which the allocator's arenas, the threads and the database's connections are there
CLIENTS = 4
MEMORY_MARGIN_BYTES = 50_000_000  # five of the largest bodies; a leak of 0.1 MB a body would show
DESCRIPTORS_MARGIN = 16  # the database pool's eight connections and the event loop's own
TIMEOUT_SECONDS = 60.0


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the server makes its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_server_answers_and_keeps_nothing_when_bodies_are_hostile(tmp_path: Path, temporary_folder: Path) -> None:
    with Sonica(tmp_path / "data").serving() as (process, url):
        server = psutil.Process(process.pid)
        with ThreadPoolExecutor(CLIENTS + 3) as pool:
            slow = [pool.submit(slow_upload, url) for _ in range(3)]
            fire(url, hostile_bodies(SEED, WARM_UP), pool)
            gc.collect()
            memory, descriptors = server.memory_info().rss, server.num_fds()
            files = sorted(temporary_folder.rglob("*"))
            fire(url, hostile_bodies(SEED + 1, COUNT), pool)
            oversized(url)
            cut_off(url)
            assert [future.result() for future in slow] == ["deadline_exceeded"] * 3

        assert httpx.get(f"{url}/livez").json() == {"status": "alive"}
        assert httpx.post(f"{url}/v1/recognize", content=original("wav")).json()["status"] == "no_match"
        assert process.poll() is None
        assert server.memory_info().rss < memory + MEMORY_MARGIN_BYTES
        assert server.num_fds() <= descriptors + DESCRIPTORS_MARGIN
        assert [child.name() for child in server.children(recursive=True) if "ffmpeg" in child.name()] == []
        assert sorted(temporary_folder.rglob("*")) == files


def fire(url: str, bodies: Iterator[Hostile], pool: ThreadPoolExecutor) -> None:
    """Send the bodies, CLIENTS at a time, and check every answer."""
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client:
        answers: list[Future[None]] = [pool.submit(check, client, hostile) for hostile in bodies]
        for answer in answers:
            answer.result()


def check(client: httpx.Client, hostile: Hostile) -> None:
    response = client.post("/v1/recognize", content=hostile.content, headers=hostile.headers)
    answer = response.json()
    assert response.status_code in {200, 413, 415, 422}, (hostile.label, response.text)
    if response.status_code == 200:
        assert answer["status"] in {"match", "no_match"}, hostile.label
    else:
        assert response.headers["content-type"] == "application/problem+json", hostile.label
        assert (answer["status"], answer["request_id"]) == (
            response.status_code,
            response.headers["x-request-id"],
        ), hostile.label


def oversized(url: str) -> None:
    """Upload more than is allowed: said so, not said, and endless."""

    def chunks() -> Iterator[bytes]:
        for _ in range(120):
            yield bytes(100_000)

    for content in (bytes(12_000_000), chunks()):
        response = httpx.post(f"{url}/v1/recognize", content=content, timeout=TIMEOUT_SECONDS)
        assert (response.status_code, response.json()["code"]) == (413, "clip_too_large")


def cut_off(url: str) -> None:
    """Hang up in the middle of bodies that were said to be longer."""
    host = urlsplit(url)
    for _ in range(20):
        with socket.create_connection((host.hostname, host.port)) as connection:
            connection.sendall(b"POST /recognize HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nRIFF")


def slow_upload(url: str) -> str:
    """Upload a byte now and then until the server has enough of it; return the code of its answer."""
    host = urlsplit(url)
    with socket.create_connection((host.hostname, host.port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(b"POST /recognize HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n")
        while not select.select([connection], [], [], 0.1)[0]:
            connection.sendall(b"x")
        response = HTTPResponse(connection)
        response.begin()
        return str(json.load(response)["code"])
