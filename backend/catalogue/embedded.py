"""The embedded PostgreSQL: a data folder's processes share it; the first starts it, the last stops it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from backend.catalogue.cluster import PORT, SOCKET, Cluster
from backend.errors import CatalogueUnavailable

_SOCKET_BYTES_MAX = 103  # what the address of a socket holds: 107 on Linux, 103 on macOS


class EmbeddedPostgres:
    """One user of the server in `<data_dir>/postgres`.

    Users are counted by shared locks on a file, which the system itself takes from a killed process. A server
    whose users were all killed goes on; the next user finds it, and the last one stops it. Locks are given
    back before the file is closed: a forked child may have it open too.
    """

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._users = -1
        self._link_folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self, data_dir: Path) -> str:
        """Have the server run and return its URL; blocks for a second or two.

        Raises CatalogueUnavailable with the reason: a folder that cannot be written, a full disk, no account.
        """
        folder = data_dir.resolve() / "postgres"
        with _explained(data_dir):
            data_dir.mkdir(parents=True, exist_ok=True)
            way = self._socket_folder(folder)
            with _alone(folder):
                cluster = Cluster(folder, way)
                cluster.create()
                cluster.start()
                self._users = os.open(folder.with_name("postgres.users"), os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._users, fcntl.LOCK_SH)
                self._cluster = cluster
        return f"postgresql://postgres@/postgres?host={quote(str(way))}&port={PORT}"

    def stop(self) -> None:
        """Stop the server if this was its last user."""
        if self._cluster is None:
            return
        cluster, self._cluster = self._cluster, None
        with _explained(cluster.folder), _alone(cluster.folder):
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                cluster.stop()
            except BlockingIOError:  # others still use it
                pass
            finally:
                fcntl.flock(self._users, fcntl.LOCK_UN)
                os.close(self._users)
        if self._link_folder is not None:
            self._link_folder.cleanup()

    def _socket_folder(self, folder: Path) -> Path:
        """Return a path to the folder that fits into a socket's address; asyncpg splits hosts at commas."""
        if len(os.fsencode(folder / SOCKET)) <= _SOCKET_BYTES_MAX and "," not in str(folder):
            return folder
        self._link_folder = tempfile.TemporaryDirectory(prefix="sonica-")
        link = Path(self._link_folder.name) / "postgres"
        link.symlink_to(folder, target_is_directory=True)
        return link


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only process that starts or stops the server."""
    lock = os.open(folder.with_name("postgres.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or error
        raise CatalogueUnavailable(
            f"the embedded database cannot use {folder}: {reason}; "
            "set SONICA_DATA_DIR to a folder that can be written, or SONICA_DATABASE_URL to a PostgreSQL"
        ) from error
