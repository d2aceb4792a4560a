"""Kills the ingest and the server with SIGKILL, many times: nothing acknowledged is lost or there twice."""

import json
import random
import time
from pathlib import Path

from tests.acceptance.sonica_process import Sonica
from tests.music import write_clip, write_song

KILLS = 16
SONGS = 48
ROUNDS_WITH_SERVER = 4
SONGS_A_ROUND = 6


def test_ingest_loses_and_doubles_nothing_when_killed_many_times(tmp_path: Path) -> None:
    sonica, moments = Sonica(tmp_path / "data"), random.Random(17)
    names = _write_songs(tmp_path / "songs", range(SONGS))
    acknowledged: set[str] = set()
    for kill in range(KILLS):
        added = _ingest_and_kill(sonica, tmp_path / "songs", moments)
        assert acknowledged.isdisjoint(added), "an acknowledged song was lost, and added once more"
        acknowledged |= added
        if kill % 4 == 3:
            sonica.kill_database()

    last = sonica.run("ingest", str(tmp_path / "songs"), "--jsonl")
    added = {line["external_id"] for line in last if line["outcome"] == "added"}
    assert acknowledged.isdisjoint(added)
    assert {line["outcome"] for line in last} <= {"added", "skipped"}
    assert 0 < len(acknowledged) < SONGS  # the kills came amid the work
    _assert_whole(sonica, tmp_path, names)


def test_server_and_ingest_stay_whole_when_the_server_is_killed_beside_it(tmp_path: Path) -> None:
    sonica, moments = Sonica(tmp_path / "data"), random.Random(18)
    names: list[str] = []
    for part in range(ROUNDS_WITH_SERVER):
        seeds = range(part * SONGS_A_ROUND, (part + 1) * SONGS_A_ROUND)
        names += _write_songs(tmp_path / "songs", seeds)
        with (
            sonica.serving() as (server, _),
            sonica.start("ingest", str(tmp_path / "songs"), "--jsonl") as ingest,
        ):
            time.sleep(moments.uniform(0, 2))
            server.kill()
            output, _ = ingest.communicate(timeout=60)
        assert ingest.returncode == 0, sonica.messages.read_text()[-3000:]
        added = [line for line in map(json.loads, output.splitlines()) if line["outcome"] == "added"]
        assert len(added) == SONGS_A_ROUND

    clips = _write_clips(tmp_path, len(names))
    with sonica.serving() as (server, url):
        found = sonica.run("recognize", "--server", url, "--jsonl", *clips)
        server.terminate()
        assert server.wait(timeout=30) == 0
    assert [line["candidates"][0]["song"] for line in found] == names
    _assert_whole(sonica, tmp_path, names)


def _write_songs(folder: Path, seeds: range) -> list[str]:
    return [write_song(folder / f"song-{seed:02}.wav", seed).stem for seed in seeds]


def _write_clips(folder: Path, count: int) -> list[str]:
    return [str(write_clip(folder / f"clip-{seed}.wav", seed, start_seconds=2.3)) for seed in range(count)]


def _ingest_and_kill(sonica: Sonica, songs: Path, moments: random.Random) -> set[str]:
    """Kill an ingest while it starts, or after it has acknowledged a few songs; return those that it did."""
    process = sonica.start("ingest", str(songs), "--jsonl")
    with process:
        assert process.stdout is not None
        if moments.random() < 0.25:
            time.sleep(moments.uniform(0, 0.8))  # about as long as it takes to start
        lines = []
        new_songs_at_most = moments.randint(0, 3)
        while sum('"added"' in line for line in lines) < new_songs_at_most and (line := process.stdout.readline()):
            lines.append(line)
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        lines += process.stdout.readlines()
    whole = [line for line in lines if line.endswith("\n")]
    return {told["external_id"] for told in map(json.loads, whole) if told["outcome"] == "added"}


def _assert_whole(sonica: Sonica, folder: Path, names: list[str]) -> None:
    """Every song is in the catalogue and in the index exactly once, and is found by its clip."""
    listed = [song["external_id"] for song in sonica.run("songs", "list", "--limit", "1000", "--jsonl")]
    assert sorted(listed) == sorted(names)
    (status,) = sonica.run("index", "status", "--json")
    assert status["songs"] == len(names)
    found = sonica.run("recognize", "--jsonl", *_write_clips(folder, len(names)))
    assert [line["candidates"][0]["song"] for line in found] == names
    offsets = [line["candidates"][0]["offset_ms"] for line in found]
    assert max(abs(offset - 2300) for offset in offsets) < 500
