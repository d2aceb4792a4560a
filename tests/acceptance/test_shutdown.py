"""Tells the server to stop while it works: what is under way is answered, what is new goes elsewhere."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.sonica_process import STOPPING_SECONDS_MAX, Sonica
from tests.music import write_clip, write_song


@pytest.fixture
def sonica(tmp_path: Path) -> Sonica:
    """A catalogue of one song."""
    sonica = Sonica(tmp_path / "data")
    write_song(tmp_path / "songs/song-1.wav", 1)
    sonica.run("ingest", str(tmp_path / "songs"), "--jsonl")
    return sonica


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return write_clip(tmp_path / "clip.wav", 1, start_seconds=2.0).read_bytes()


@contextmanager
def slow_request(url: str, body: bytes) -> Iterator[socket.socket]:
    """Begin a recognition; the server waits for the body."""
    where = urlsplit(url)
    head = f"POST /v1/recognize HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # the server says so once it wants the body
        yield connection


def wait_until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/livez", timeout=30)
    except httpx.ConnectError:
        return True
    except (httpx.ReadError, httpx.RemoteProtocolError):
        return False  # it came in the very moment in which the socket was closed
    return False


def stopped(server: subprocess.Popen[str]) -> int:
    return server.wait(STOPPING_SECONDS_MAX)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_request_under_way_is_answered_and_the_index_saved_when_the_server_stops(
    sonica: Sonica, clip: bytes, number: signal.Signals
) -> None:
    with sonica.serving() as (server, url), slow_request(url, clip) as connection:
        shutil.rmtree(sonica.data_dir / "index")
        server.send_signal(number)
        wait_until(lambda: refuses(url))
        connection.sendall(clip)
        response = HTTPResponse(connection)
        response.begin()
        answer = response.read()
        exit_code = stopped(server)

    assert response.status == 200
    assert b'"song-1"' in answer
    assert exit_code == 0
    assert list((sonica.data_dir / "index").glob("*/manifest.json"))


def test_server_is_not_ready_but_answers_when_its_notice_runs(sonica: Sonica, clip: bytes) -> None:
    sonica.settings["SONICA_SHUTDOWN_NOTICE_SECONDS"] = "600"
    with sonica.serving() as (server, url):
        before = httpx.get(f"{url}/readyz")
        server.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        readiness, life = httpx.get(f"{url}/readyz"), httpx.get(f"{url}/livez")
        answer = httpx.post(f"{url}/v1/recognize", content=clip)
        server.send_signal(signal.SIGTERM)
        exit_code = stopped(server)

    assert before.status_code == 200
    assert (readiness.json()["code"], life.status_code) == ("not_ready", 200)
    assert answer.json()["status"] == "match"
    assert exit_code == 0
    assert refuses(url)


def test_request_is_given_up_when_it_takes_longer_than_the_server_waits(sonica: Sonica, clip: bytes) -> None:
    sonica.settings["SONICA_SHUTDOWN_SECONDS_MAX"] = "0"
    with sonica.serving() as (server, url), slow_request(url, clip):
        server.send_signal(signal.SIGTERM)
        exit_code = stopped(server)

    assert exit_code == 0
