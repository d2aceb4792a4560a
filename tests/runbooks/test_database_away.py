"""A server is started while its database is away: it recognises, and is whole when the database is back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from backend.cli.output import Exit
from tests.acceptance.sonica_process import Sonica
from tests.music import write_song
from tests.postgres_server import running_postgres
from tests.runbooks.conftest import PATIENCE_SECONDS, SONGS, Region, recognized, wait_until
from tests.runbooks.runbook import Runbook

BOOK = Runbook.read("database_away")


def degraded(url: str) -> list[str]:
    parts: list[str] = httpx.get(f"{url}/readyz", timeout=PATIENCE_SECONDS).json()["degraded"]
    return parts


def test_server_that_starts_without_its_database_is_whole_when_that_is_back(tmp_path: Path) -> None:
    for seed in range(1, SONGS + 1):
        write_song(tmp_path / f"songs/song-{seed}.wav", seed)
    with running_postgres() as postgres:
        region = Region(Sonica(tmp_path / "data", {"SONICA_DATABASE_URL": postgres.url}), tmp_path)
        region.command("migrate")
        region.command("ingest", str(tmp_path / "songs"))
        postgres.kill()
        with Sonica(tmp_path / "empty", region.sonica.settings).start("serve", "--port", "0", "--json") as server:
            refused, _ = server.communicate(timeout=PATIENCE_SECONDS)
        with region.sonica.serving() as (_, url):
            environment = region.environment | {"URL": url, "CLIP": str(region.clip(1))}
            away: dict[str, Any] = json.loads(BOOK.run(0, environment))
            unnamed = recognized(url, region.clip(1))
            postgres.start()
            schema = BOOK.run(1, environment)
            wait_until(lambda: degraded(url) == [])
            whole = BOOK.run(2, environment)
            named = recognized(url, region.clip(1))

    assert server.returncode == Exit.UNAVAILABLE
    assert "no saved index" in json.loads(refused)["detail"]
    assert (away["degraded"], away["songs"]) == (["catalogue"], SONGS)
    assert "started_without_catalogue" in region.sonica.messages.read_text()
    assert "up to date" in schema
    assert f"songs                {SONGS}" in whole
    assert [(place, score) for _, _, place, score in unnamed] == [(place, score) for _, _, place, score in named]
    assert [name for _, name, _, _ in unnamed] == [None]
    assert [name for _, name, _, _ in named] == ["song-1"]
    assert "song-1" in whole
