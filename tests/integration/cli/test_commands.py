"""The commands over a real catalogue, in process."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from sonica_fingerprint import FINGERPRINT_VERSION, decode

from backend.catalogue.postgres import PostgresCatalogue
from backend.settings import Settings
from tests.factories import make_fingerprint, make_new_song
from tests.integration.cli.conftest import Commands
from tests.music import write_clip, write_song


def write_album(folder: Path, *, songs: int = 3) -> Path:
    for seed in range(songs):
        write_song(folder / f"Band - Song {seed}.wav", seed)
    return folder


def test_ingest_ends_with_a_table_and_recognize_shows_a_card(commands: Commands) -> None:
    album = write_album(commands.folder / "album")
    (album / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVEbroken")
    result = commands.run("ingest", album)
    assert result.exit_code == 4
    assert "added      3" in result.stdout
    assert "failed     1" in result.stdout
    assert "undecodable_audio" in result.stdout
    assert str(album / "broken.wav") in result.stdout
    assert "\x1b" not in result.output  # no colour where there is no terminal

    clip = write_clip(commands.folder / "clip.wav", 1, start_seconds=3)
    result = commands.run("recognize", clip)
    assert result.exit_code == 0
    assert "Song 1 - Band" in result.stdout
    assert "in the song" in result.stdout
    assert result.stderr == ""


def test_ingest_jsonl_tells_each_file_and_the_next_run_skips_them(commands: Commands) -> None:
    album = write_album(commands.folder / "album")
    first = commands.lines("ingest", album, "--jsonl")
    assert [(line["outcome"], line["external_id"]) for line in first] == [
        ("added", f"Band - Song {seed}") for seed in range(3)
    ]
    again = commands.lines("ingest", album, "--jsonl")
    assert [(line["outcome"], line["code"]) for line in again] == [("skipped", "already_known")] * 3
    (document,) = commands.lines("ingest", album, "--reingest", "--json")
    assert (document["skipped"], document["added"], document["failed"]) == (3, 0, 0)
    assert document["audio_seconds"] == 0
    assert "already_known: --reingest takes changed details" in commands.run("ingest", album).stdout


def test_failed_file_is_tried_again_when_asked(commands: Commands) -> None:
    (commands.folder / "a.wav").write_bytes(b"RIFF\0\0\0\0WAVEbroken")
    (document,) = commands.lines("ingest", commands.folder / "a.wav", "--json", exit_code=4)
    assert [file["code"] for file in document["files"]] == ["undecodable_audio"]
    (document,) = commands.lines("ingest", commands.folder / "a.wav", "--json")
    assert (document["skipped"], document["failed"]) == (1, 0)
    (document,) = commands.lines("ingest", commands.folder / "a.wav", "--retry-failed", "--json", exit_code=4)
    assert document["failed"] == 1


def test_bad_manifest_row_fails_and_the_others_go_in(commands: Commands) -> None:
    write_album(commands.folder / "album", songs=1)
    manifest = commands.folder / "songs.csv"
    manifest.write_text("uri,external_id,title\nalbum/Band - Song 0.wav,first,One\n,second,Two\n")
    (document,) = commands.lines("ingest", manifest, "--json", exit_code=4)
    assert (document["added"], document["failed"]) == (1, 1)
    assert document["files"][0]["file"] == f"{manifest}, line 3"
    assert commands.lines("songs", "show", "first", "--json")[0]["title"] == "One"


def test_empty_folder_is_said_to_be_empty(commands: Commands) -> None:
    (commands.folder / "empty").mkdir()
    result = commands.run("ingest", commands.folder / "empty")
    assert result.exit_code == 0
    assert "no audio files" in result.stderr


def test_recognize_jsonl_prints_a_line_a_file_in_order(commands: Commands) -> None:
    commands.run("ingest", write_album(commands.folder / "album"))
    files = [write_clip(commands.folder / f"{seed}.wav", seed, start_seconds=2) for seed in (2, 0, 77)]
    files.insert(1, commands.folder / "missing.wav")
    lines = commands.lines("recognize", "--jsonl", *files, exit_code=4)

    assert [line["file"] for line in lines] == [str(file) for file in files]
    assert [line["status"] for line in lines] == ["match", "error", "match", "no_match"]
    assert [line["candidates"][0]["song"] for line in lines[::2][:2]] == ["Band - Song 2", "Band - Song 0"]
    for line in (lines[0], lines[2]):
        assert abs(line["candidates"][0]["offset_ms"] - 2000) < 500
        assert 0 <= line["candidates"][0]["score"] <= 1
        assert line["timings_ms"]
    assert lines[1]["problem"]["code"] == "unreadable_file"
    assert lines[3]["reason"] == "below_threshold"


@pytest.mark.parametrize(
    ("names", "exit_code"),
    [
        (["song"], 0),
        (["other"], 3),
        (["song", "other"], 0),
        (["text"], 1),
        (["text", "missing"], 1),
        (["text", "song"], 4),
    ],
)
def test_recognize_exit_code_tells_what_was_found(commands: Commands, names: list[str], exit_code: int) -> None:
    commands.run("ingest", write_album(commands.folder / "album", songs=1))
    files = {
        "song": lambda: write_clip(commands.folder / "song.wav", 0, start_seconds=1),
        "other": lambda: write_clip(commands.folder / "other.wav", 99, start_seconds=1),
        "text": lambda: _text(commands.folder / "text.wav"),
        "missing": lambda: commands.folder / "missing.wav",
    }
    assert commands.run("recognize", *(files[name]() for name in names)).exit_code == exit_code


def _text(path: Path) -> Path:
    path.write_text("no audio")
    return path


def test_recognize_reads_stdin(commands: Commands) -> None:
    commands.run("ingest", write_album(commands.folder / "album", songs=1))
    clip = write_clip(commands.folder / "clip.wav", 0, start_seconds=1).read_bytes()
    result = commands.run("recognize", "--json", "-", stdin=clip)
    assert json.loads(result.stdout)["results"][0]["candidates"][0]["song"] == "Band - Song 0"


def test_recognize_takes_the_beginning_of_a_file_larger_than_a_request(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONICA_BODY_BYTES_MAX", "100000")
    commands.run("ingest", write_album(commands.folder / "album", songs=1))
    (line,) = commands.lines("recognize", "--jsonl", commands.folder / "album/Band - Song 0.wav")
    assert (line["candidates"][0]["song"], line["candidates"][0]["offset_ms"]) == ("Band - Song 0", 0)


def test_fingerprint_can_be_recognised_in_place_of_audio(commands: Commands) -> None:
    commands.run("ingest", write_album(commands.folder / "album"))
    clip = write_clip(commands.folder / "clip.wav", 2, start_seconds=1)
    (told,) = commands.lines("fingerprint", clip, "--json")
    wire = commands.folder / "clip.snfp"
    assert (told["output"], told["bytes"], told["duration_ms"]) == (str(wire), wire.stat().st_size, 4000)
    assert decode(wire.read_bytes()).key == told["sha256"]
    (line,) = commands.lines("recognize", "--jsonl", wire)
    assert line["candidates"][0]["song"] == "Band - Song 2"


@pytest.mark.parametrize("body_bytes_max", ["10000000", "10000"])  # as it is, and beyond what a request may be
def test_beginning_is_recognised_when_the_fingerprint_is_of_a_whole_song(
    commands: Commands, body_bytes_max: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = write_song(commands.folder / "album/long.wav", 1, seconds=30)
    commands.run("ingest", commands.folder / "album")
    commands.run("fingerprint", song)
    monkeypatch.setenv("SONICA_BODY_BYTES_MAX", body_bytes_max)
    (line,) = commands.lines("recognize", "--jsonl", song.with_suffix(".snfp"))
    assert (line["candidates"][0]["song"], line["candidates"][0]["offset_ms"]) == ("long", 0)


def test_stdin_is_refused_when_it_is_larger_than_a_request(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONICA_BODY_BYTES_MAX", "1000")
    result = commands.run("recognize", "--jsonl", "-", stdin=bytes(1001))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problem"]["code"] == "clip_too_large"


def test_fingerprint_goes_to_stdout_when_asked(commands: Commands) -> None:
    clip = write_clip(commands.folder / "clip.wav", 2, start_seconds=1)
    assert decode(commands.run("fingerprint", clip, "-o", "-").stdout_bytes).duration_ms == 4000


@pytest.mark.parametrize("content", [None, b"text"])
def test_fingerprint_of_what_is_no_audio_is_a_problem(commands: Commands, content: bytes | None) -> None:
    path = commands.folder / "a.wav"
    if content:
        path.write_bytes(content)
    (problem,) = commands.lines("fingerprint", path, "--json", exit_code=1)
    assert problem["code"] in ("unreadable_file", "unsupported_audio")


def test_songs_are_listed_shown_and_deleted(commands: Commands) -> None:
    commands.run("ingest", write_album(commands.folder / "album"))
    (page,) = commands.lines("songs", "list", "--limit", "2", "--json")
    assert [song["external_id"] for song in page["items"]] == ["Band - Song 0", "Band - Song 1"]
    (rest,) = commands.lines("songs", "list", "--after", str(page["next_after"]), "--json")
    assert [song["title"] for song in rest["items"]] == ["Song 2"]
    assert rest["next_after"] is None
    assert "Song 1" in commands.run("songs", "list", "--where", "external_id=Band - Song 1").stdout

    first_id = str(page["items"][0]["id"])
    assert "Band - Song 0" in commands.run("songs", "show", first_id).stdout
    (deleted,) = commands.lines("songs", "delete", first_id, "nobody", "--yes", "--json", exit_code=4)
    assert [song["title"] for song in deleted["deleted"]] == ["Song 0"]
    assert deleted["missing"] == ["nobody"]
    (problem,) = commands.lines("songs", "show", first_id, "--json", exit_code=1)
    assert problem["code"] == "song_not_found"
    assert commands.lines("index", "status", "--json")[0]["songs"] == 2


def test_deletion_is_asked_for(commands: Commands) -> None:
    commands.run("ingest", write_album(commands.folder / "album", songs=1))
    assert commands.run("songs", "delete", "Band - Song 0", stdin=b"n\n").exit_code == 1
    assert len(commands.lines("songs", "list", "--jsonl")) == 1


@pytest.mark.parametrize("where", ["artist", "mood=blue"])
def test_unknown_filter_is_wrong_usage(commands: Commands, where: str) -> None:
    assert commands.run("songs", "list", "--where", where).exit_code == 2


def test_index_is_built_anew_from_the_catalogue(commands: Commands) -> None:
    commands.run("ingest", write_album(commands.folder / "album"))
    (before,) = commands.lines("index", "status", "--json")
    (after,) = commands.lines("index", "build", "--json")
    assert {**before, "version": ""} == {**after, "version": ""}
    assert after["songs"] == 3
    assert "3" in commands.run("index", "status").stdout


def test_data_dir_option_replaces_the_setting(commands: Commands) -> None:
    commands.run("ingest", write_album(commands.folder / "album", songs=1), "--data-dir", commands.folder / "here")
    assert list((commands.folder / "here").iterdir())
    assert not Settings().data_dir.exists()


def test_schema_is_brought_up_to_date(
    commands: Commands, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONICA_DATABASE_URL", empty_database_url)
    assert commands.lines("migrate", "--json")[0]["applied"]
    assert commands.lines("migrate", "--json")[0]["applied"] == []
    assert "up to date" in commands.run("migrate").stdout


def test_name_that_is_not_utf8_is_ingested_and_recognised(commands: Commands) -> None:
    path = commands.folder / os.fsdecode(b"caf\xe9.wav")
    write_song(commands.folder / "5.wav", 5).rename(path)
    commands.lines("ingest", path, "--jsonl")
    (line,) = commands.lines("recognize", "--jsonl", path)
    assert (line["file"], line["candidates"][0]["song"]) == (str(path), "caf\ufffd")
    assert commands.run("recognize", path).exit_code == 0


def test_fingerprints_of_another_version_are_refused_with_the_command_that_mends_them(
    commands: Commands, database_url: str
) -> None:
    album = write_album(commands.folder / "album")

    async def put_outdated_song() -> None:
        catalogue = await PostgresCatalogue.connect(database_url, pool_max=1, timeout_seconds=10)
        fingerprint = make_fingerprint(version=FINGERPRINT_VERSION + 1)
        url = (album / "Band - Song 0.wav").as_uri()
        await catalogue.put(make_new_song(external_id="Band - Song 0", audio_url=url, fingerprint=fingerprint))
        await catalogue.close()

    asyncio.run(put_outdated_song())
    for command in (["ingest", album], ["index", "status"], ["recognize", album / "Band - Song 0.wav"]):
        (problem,) = commands.lines(*command, "--json", exit_code=1)
        assert problem["code"] == "index_version_mismatch"
        assert "sonica ingest --reingest" in problem["detail"]

    (document,) = commands.lines("ingest", album, "--reingest", "--json")
    assert (document["added"], document["updated"], document["failed"]) == (2, 1, 0)
    assert commands.lines("index", "status", "--json")[0]["songs"] == 3
