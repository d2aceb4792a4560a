"""`sonica index build --hot` over a real catalogue."""

import json

from sonica_fingerprint import extract
from sonica_fingerprint.bundle import read_bundle
from sonica_fingerprint.hot_index import HotIndex

from backend.settings import Settings
from tests.integration.cli.conftest import Commands
from tests.music import make_music, write_song


def ingest_songs(commands: Commands, popularities: dict[int, float]) -> None:
    manifest = commands.folder / "songs.jsonl"
    rows = [
        {"uri": str(write_song(commands.folder / f"{seed}.wav", seed, 12)), "popularity_score": popularity}
        for seed, popularity in popularities.items()
    ]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    commands.lines("ingest", manifest, "--json")


def test_most_popular_songs_are_bundled_and_recognized(commands: Commands) -> None:
    ingest_songs(commands, {1: 0.5, 2: 7, 3: 0.5, 4: 12.25})
    (written,) = commands.lines("index", "build", "--hot", "3", "--json")
    body = (commands.folder / "data" / "hot-index.bundle").read_bytes()
    assert written["file"] == str(commands.folder / "data" / "hot-index.bundle")
    assert (written["songs"], written["bytes"], written["sha256"]) == (3, len(body), read_bundle(body).sha256)
    songs = read_bundle(body).details["songs"]
    assert {song["external_id"] for song in songs} == {"4", "2", "1"}  # 1 came before 3
    assert [song["id"] for song in songs] == sorted(song["id"] for song in songs)
    assert read_bundle(body).details["limits"]["false_accept_rate"] < Settings().false_accept_rate

    answer = HotIndex(body).recognize(extract(make_music(4, 12)[4 * 16_000 : 9 * 16_000]))
    assert answer is not None
    assert (answer["status"], answer["matches"][0]["song"]["external_id"]) == ("match", "4")


def test_bundle_goes_where_it_is_sent_and_replaces_the_one_before(commands: Commands) -> None:
    ingest_songs(commands, {1: 1, 2: 2})
    output = commands.folder / "new" / "edge.bundle"
    commands.run("index", "build", "--hot", "1", "--output", output)
    result = commands.run("index", "build", "--hot", "50", "--output", output)
    assert result.exit_code == 0
    assert "2 songs (the catalogue has no more; 50 were asked for)" in result.stdout
    assert read_bundle(output.read_bytes()).songs == 2
    assert [path.name for path in output.parent.iterdir()] == ["edge.bundle"]


def test_empty_catalogue_has_no_bundle(commands: Commands) -> None:
    result = commands.run("index", "build", "--hot", "5")
    assert result.exit_code == 6
    assert "no songs yet" in result.stderr


def test_output_that_cannot_be_written_is_an_error(commands: Commands) -> None:
    ingest_songs(commands, {1: 1})
    result = commands.run("index", "build", "--hot", "1", "--output", commands.folder / "1.wav" / "edge.bundle")
    assert result.exit_code == 6
    assert "cannot be written" in result.stderr


def test_wrong_usage_is_told(commands: Commands) -> None:
    assert commands.run("index", "build", "--output", commands.folder / "x").exit_code == 2
    assert commands.run("index", "build", "--hot", "0").exit_code == 2
