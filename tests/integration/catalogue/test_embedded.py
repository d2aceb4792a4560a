"""The embedded server with real processes: shared, killed, full, and in folders with odd names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backend.catalogue.database import session
from backend.catalogue.embedded import EmbeddedPostgres
from backend.errors import CatalogueUnavailable

_USER = """
import sys, time
from pathlib import Path
from backend.catalogue.embedded import EmbeddedPostgres
print(EmbeddedPostgres().start(Path(sys.argv[1])), flush=True)
time.sleep(600)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder with a short name, and no server left on it."""
    with tempfile.TemporaryDirectory(prefix="sonica-test-") as folder:
        yield Path(folder)
        if (Path(folder) / "postgres").exists():
            server = EmbeddedPostgres()
            server.start(Path(folder))
            server.stop()


def other_process(data_dir: Path) -> subprocess.Popen[str]:
    """Return a process that uses the server."""
    process = subprocess.Popen(
        [sys.executable, "-c", _USER, str(data_dir)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def process_in(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "1"], cwd=folder)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stopped(pid: int) -> bool:
    """Say whether a server ends; it takes its number back a moment before."""
    give_up_at = time.monotonic() + 10
    while runs(pid) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return not runs(pid)


async def write(url: str) -> None:
    async with session(url) as connection:
        await connection.execute("create table if not exists kept (n int); insert into kept values (1)")


async def kept(url: str) -> int:
    async with session(url) as connection:
        return int(await connection.fetchval("select count(*) from kept"))


async def test_what_was_written_is_there_when_started_again(data_dir: Path) -> None:
    server = EmbeddedPostgres()
    await write(server.start(data_dir))
    first = postmaster(data_dir)
    server.stop()

    assert stopped(first)
    assert await kept(server.start(data_dir)) == 1
    server.stop()


async def test_the_server_stops_with_its_last_user_when_several_share_it(data_dir: Path) -> None:
    first, second = EmbeddedPostgres(), EmbeddedPostgres()
    await write(first.start(data_dir))
    url = second.start(data_dir)
    pid = postmaster(data_dir)

    first.stop()
    first.stop()
    assert await kept(url) == 1
    second.stop()

    assert stopped(pid)


async def test_the_next_user_takes_over_when_the_only_one_was_killed(data_dir: Path) -> None:
    process = other_process(data_dir)
    pid = postmaster(data_dir)
    kill(process)
    server = EmbeddedPostgres()

    url = server.start(data_dir)
    assert postmaster(data_dir) == pid
    await write(url)
    server.stop()

    assert stopped(pid)


async def test_the_server_goes_on_when_one_of_its_users_is_killed(data_dir: Path) -> None:
    process = other_process(data_dir)
    server = EmbeddedPostgres()
    url = server.start(data_dir)

    kill(process)

    await write(url)
    pid = postmaster(data_dir)
    server.stop()
    assert stopped(pid)


async def test_what_was_committed_is_there_when_server_and_user_were_killed(data_dir: Path) -> None:
    process = other_process(data_dir)
    server = EmbeddedPostgres()
    await write(server.start(data_dir))
    server.stop()
    os.kill(postmaster(data_dir), signal.SIGKILL)
    kill(process)

    assert await kept(server.start(data_dir)) == 1
    server.stop()


async def test_the_server_starts_when_another_process_has_the_number_of_a_dead_one(data_dir: Path) -> None:
    server = EmbeddedPostgres()
    server.start(data_dir)
    lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    server.stop()
    (data_dir / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    await write(server.start(data_dir))

    assert postmaster(data_dir) != os.getpid()
    server.stop()


async def test_a_server_that_is_dying_is_waited_for_when_its_file_still_says_ready(data_dir: Path) -> None:
    server = EmbeddedPostgres()
    await write(server.start(data_dir))
    lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    server.stop()
    dying = process_in(data_dir / "postgres")
    (data_dir / "postgres" / "postmaster.pid").write_text("\n".join([str(dying.pid), *lines[1:]]) + "\n")

    assert await kept(server.start(data_dir)) == 1

    assert postmaster(data_dir) != dying.pid
    server.stop()
    dying.wait()


async def test_the_folder_is_made_anew_when_its_making_was_killed(data_dir: Path) -> None:
    unfinished = data_dir / "postgres.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres()

    await write(server.start(data_dir))

    assert not unfinished.exists()
    server.stop()


async def test_the_server_is_reached_when_the_folder_has_a_long_and_odd_name(data_dir: Path) -> None:
    odd = data_dir / f'it\'s, "$HOME" {"long" * 25}' / "सङ्गीत"
    server = EmbeddedPostgres()

    await write(server.start(odd))

    server.stop()


def test_the_folder_is_named_when_it_cannot_be_written(data_dir: Path) -> None:
    (data_dir / "file").touch()

    with pytest.raises(CatalogueUnavailable, match=r"file/data.*SONICA_DATA_DIR"):
        EmbeddedPostgres().start(data_dir / "file" / "data")


def test_the_version_is_named_when_the_folder_is_of_another_postgresql(data_dir: Path) -> None:
    (data_dir / "other" / "postgres").mkdir(parents=True)
    (data_dir / "other" / "postgres" / "PG_VERSION").write_text("12\n")

    with pytest.raises(CatalogueUnavailable, match="PostgreSQL 12"):
        EmbeddedPostgres().start(data_dir / "other")


def test_strange_files_are_left_alone_when_the_folder_is_no_database(data_dir: Path) -> None:
    strange = data_dir / "other" / "postgres" / "thesis.txt"
    strange.parent.mkdir(parents=True)
    strange.write_text("years of work")

    with pytest.raises(CatalogueUnavailable):
        EmbeddedPostgres().start(data_dir / "other")

    assert strange.read_text() == "years of work"
