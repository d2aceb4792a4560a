"""A backup is restored on a machine that has nothing yet: it recognises as the first one did."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.acceptance.sonica_process import Sonica
from tests.music import write_song
from tests.runbooks.conftest import SONGS, Region, recognized
from tests.runbooks.runbook import Runbook

BOOK = Runbook.read("restore")


def test_recognitions_are_equal_when_a_backup_is_restored_on_a_new_machine(tmp_path: Path) -> None:
    """Both have the embedded database, in a data folder of their own."""
    first = Region(Sonica(tmp_path / "first/data"), tmp_path)
    for seed in range(1, SONGS + 1):
        write_song(tmp_path / f"songs/song-{seed}.wav", seed)
    first.command("ingest", str(tmp_path / "songs"))
    backup = {"BACKUP": str(tmp_path / "backups/tonight.sonica")}
    with first.sonica.serving() as (_, url):
        before = [recognized(url, first.clip(seed)) for seed in (1, 2, 3, 77)]
        songs = first.command("songs", "list")
        said = BOOK.run(0, first.environment | backup)  # while it serves
    shutil.rmtree(first.sonica.data_dir)
    second = Region(Sonica(tmp_path / "second/data"), tmp_path)

    BOOK.run(1, second.environment | backup)
    assert not second.sonica.data_dir.exists()  # --check needs no database
    BOOK.run(2, second.environment | backup)
    with second.sonica.serving() as (_, url):
        after = [recognized(url, second.clip(seed)) for seed in (1, 2, 3, 77)]

    assert "3 songs at revision 3" in said
    assert after == before
    assert [len(found) for found in before] == [1, 1, 1, 0]
    assert second.command("songs", "list") == songs
