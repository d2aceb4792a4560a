"""`sonica ingest` with objects: here, by a queue and its worker, and what is told of failures."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.clips import encoded
from tests.integration.cli.conftest import Commands
from tests.integration.cli.conftest import commands as commands
from tests.integration.ingestion.conftest import Cloud
from tests.music import RATE_HZ, make_music, write_song

SONICA = [sys.executable, "-c", "from backend.cli.main import main; main()"]


@pytest.fixture
def at_hand(cloud: Cloud, commands: Commands, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands whose AWS is the stand-in, with three songs and a file that is none in the bucket."""
    for name, value in cloud.aws.environment.items():
        monkeypatch.setenv(name, value)
    for seed in range(3):
        sound = encoded(make_music(seed, 2.0)[:, np.newaxis], rate_hz=RATE_HZ)
        cloud.put(f"rock/Someone - {seed}.wav", sound)
    cloud.put("rock/bad.wav", b"no audio")
    cloud.put("rock/cover.jpg", b"no audio either")
    return commands


def told(lines: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(line["file"], line["outcome"]) for line in lines]


SONGS = [f"s3://music/rock/Someone - {seed}.wav" for seed in range(3)]
BAD = "s3://music/rock/bad.wav"


def test_prefix_is_ingested_here_and_nothing_is_read_twice(cloud: Cloud, at_hand: Commands) -> None:
    lines = at_hand.lines("ingest", "s3://music/ro", "--jsonl", exit_code=4)
    assert told(lines) == [*((uri, "added") for uri in SONGS), (BAD, "failed")]
    assert [line["external_id"] for line in lines[:3]] == SONGS

    gone = cloud.bucket.Object("rock/Someone - 0.wav")
    gone.delete()
    lines = at_hand.lines("ingest", "s3://music/rock", "--jsonl")
    assert told(lines) == [*((uri, "skipped") for uri in SONGS[1:]), (BAD, "skipped")]
    assert [line["code"] for line in lines] == ["already_known", "already_known", "failed_before"]


def test_manifest_may_name_files_and_objects_side_by_side(at_hand: Commands) -> None:
    write_song(at_hand.folder / "here.wav", 9)
    manifest = at_hand.folder / "songs.csv"
    manifest.write_text(f"uri,external_id,title\n{SONGS[1]},id-1,Stated\nhere.wav,,\ns3://music/none.wav,,\n")
    lines = at_hand.lines("ingest", manifest, "--jsonl", exit_code=4)
    assert [(line["outcome"], line["external_id"], line["code"]) for line in lines] == [
        ("added", "id-1", None),
        ("added", "here", None),
        ("failed", None, "object_not_found"),
    ]
    (song,) = (song for song in at_hand.lines("songs", "list", "--jsonl") if song["external_id"] == "id-1")
    assert song["title"] == "Stated"


def test_songs_that_are_handed_to_a_worker_are_taken_in_and_failures_told(cloud: Cloud, at_hand: Commands) -> None:
    manifest = at_hand.folder / "songs.jsonl"
    manifest.write_text("\n".join(json.dumps({"uri": uri}) for uri in [*SONGS, BAD, "file:///here.wav"]))
    lines = at_hand.lines("ingest", manifest, "--queue", cloud.queue_url, "--jsonl", exit_code=4)
    assert told(lines) == [*((uri, "queued") for uri in [*SONGS, BAD]), ("/here.wav", "failed")]

    with (at_hand.folder / "messages.txt").open("w") as messages:
        command = [*SONICA, "ingest", "worker", "--queue", cloud.queue_url]
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages)
    try:
        ends_at = time.monotonic() + 120
        while cloud.waiting() != (0, 0) and time.monotonic() < ends_at:
            time.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0, (at_hand.folder / "messages.txt").read_text()
    finally:
        worker.kill()
        worker.wait()

    assert [song["external_id"] for song in at_hand.lines("songs", "list", "--jsonl")] != []
    assert sorted(song["external_id"] for song in at_hand.lines("songs", "list", "--jsonl")) == SONGS
    (failure,) = at_hand.lines("ingest", "failures", "--jsonl")
    assert (failure["uri"], failure["code"]) == (BAD, "unsupported_audio")
    shown = at_hand.run("ingest", "failures").stdout
    assert BAD in shown
    assert "unsupported_audio" in shown


def test_queue_that_is_not_there_is_told(cloud: Cloud, at_hand: Commands) -> None:
    lines = at_hand.lines("ingest", "s3://music/rock", "--queue", cloud.queue_url + "x", "--jsonl", exit_code=6)
    assert lines[-1]["code"] == "queue_unavailable"


def test_folder_called_worker_is_a_folder_when_it_is_written_as_one(
    at_hand: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(at_hand.folder / "worker")
    write_song(folder / "a.wav", 1)
    monkeypatch.chdir(at_hand.folder)
    assert [line["outcome"] for line in at_hand.lines("ingest", "./worker", "--jsonl")] == ["added"]
