"""A real PostgreSQL of a test's own, to be killed, paused and started again."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from backend.catalogue.cluster import Cluster
from backend.catalogue.embedded import EmbeddedPostgres


class PostgresProcess:
    """The embedded server on a folder of its own; its URL stays the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._users: list[EmbeddedPostgres] = []
        self.url = self.start()

    def start(self) -> str:
        """Start it unless it runs; wait until it takes connections, having recovered what it must."""
        user = EmbeddedPostgres()
        url = user.start(self._folder)
        self._users.append(user)
        return url

    def kill(self) -> None:
        """End it and all its children at once, as a power cut would."""
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    def shut_down(self) -> None:
        """End it as its administrator would: it breaks off what it is doing, in order."""
        folder = self._folder / "postgres"
        Cluster(folder, folder).stop()

    def pause(self) -> None:
        """Have it hold its connections, take new ones, and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop it for good."""
        for user in self._users:
            user.stop()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _processes(self) -> list[psutil.Process]:
        """Return the server, first, and the processes that serve its connections; none when it does not run."""
        try:
            server = psutil.Process(int((self._folder / "postgres/postmaster.pid").read_text().split()[0]))
            return [server, *server.children(recursive=True)]
        except (FileNotFoundError, psutil.NoSuchProcess):
            return []


@contextmanager
def running_postgres() -> Iterator[PostgresProcess]:
    """Start a server, empty; end it whatever happened to it."""
    with tempfile.TemporaryDirectory(prefix="sonica-postgres-") as folder:
        server = PostgresProcess(Path(folder))
        try:
            yield server
        finally:
            server.resume()
            server.kill()
            server.stop()
            _wait_for_files(Path(folder))


def _wait_for_files(folder: Path) -> None:
    """Children of a killed server may remove a file of theirs a moment later."""
    ends_at = time.monotonic() + 2
    while time.monotonic() < ends_at and any(_is_in(process, folder) for process in psutil.process_iter()):
        time.sleep(0.02)


def _is_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd().startswith(str(folder))
    except psutil.Error:
        return False
