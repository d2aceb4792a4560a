"""What the arguments of an ingest name."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import InvalidRequest
from backend.ingestion.sources import Flaw, Item, items
from backend.models import StoredObject


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def paths(found: list[Item | Flaw]) -> list[Path]:
    return [item.path for item in found if isinstance(item, Item)]


def test_folder_gives_audio_files_in_order_and_passes_over_the_rest(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.mp3", "a.WAV", "b/1.flac", "b/cover.jpg", ".hidden/3.wav", "b/._1.flac", "notes.txt")
    assert paths(list(items([str(tmp_path)]))) == [
        tmp_path / "a.WAV",
        tmp_path / "b/1.flac",
        tmp_path / "b/2.mp3",
    ]


def test_single_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "song.xyz")
    assert paths(list(items([str(tmp_path / "song.xyz")]))) == [tmp_path / "song.xyz"]


def test_relative_argument_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "song.wav")
    monkeypatch.chdir(tmp_path)
    assert paths(list(items(["song.wav"]))) == [tmp_path / "song.wav"]


def test_list_file_names_a_path_a_line_from_its_own_folder(tmp_path: Path) -> None:
    lines = "one.wav\r\n\n/music/two words.wav\ns3://bucket/three four+%20.wav\nhttp://bucket/five.wav\ns3://bucket\n"
    listed = write(tmp_path / "songs.lst", lines)
    one, two, three, *flaws = list(items([listed]))
    assert paths([one, two]) == [tmp_path / "one.wav", Path("/music/two words.wav")]
    assert three == Item("s3://bucket/three four+%20.wav")
    assert [flaw.where for flaw in flaws if isinstance(flaw, Flaw)] == [f"{listed}, line {line}" for line in (5, 6)]


class Listed:
    """A bucket of these keys."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def list(self, prefix_uri: str) -> Iterator[StoredObject]:
        for key in self.keys:
            if f"s3://music/{key}".startswith(prefix_uri):
                yield StoredObject("music", key, size_bytes=1, etag=key)


def test_prefix_gives_audio_objects_with_what_the_listing_says(tmp_path: Path) -> None:
    keys = ("a/1.WAV", "a/cover.jpg", "a/.hidden/2.wav", "a/b/3 +ü.mp3", "b/4.wav", "a/", "a.wav/notes.txt")
    found = list(items(["s3://music/a"], Listed(*keys)))
    assert [item.uri for item in found] == ["s3://music/a/1.WAV", "s3://music/a/b/3 +ü.mp3"]
    assert [item.stored.etag for item in found] == ["a/1.WAV", "a/b/3 +ü.mp3"]
    assert [item.path for item in found] == [None, None]
    assert [item.stem for item in found] == ["1", "3 +ü"]
    assert len(list(items(["s3://music", "s3://music/b/4.wav"], Listed(*keys)))) == 4


def test_missing_arguments_and_manifests_elsewhere_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"s3://bucket/songs\.csv"):
        items([str(tmp_path), "s3://bucket/songs.csv"], Listed())
    with pytest.raises(InvalidRequest, match="http:// is not read"):
        items(["http://bucket/a.wav"])
    with pytest.raises(InvalidRequest, match="nowhere does not exist"):
        items([str(tmp_path / "nowhere")])


def test_csv_manifest_states_details_and_resolves_its_paths(tmp_path: Path) -> None:
    manifest = write(
        tmp_path / "songs.csv",
        "\ufeffuri,external_id,title,artist,isrc,language,release_date\n"
        'x/one.wav,id-1,"A, B",Someone,us-rc1-76-07839,pt-BR,1999-12\n'
        f"{(tmp_path / 'tw o.wav').as_uri()},,,,,,\n",
    )
    one, two = list(items([manifest]))
    assert isinstance(one, Item)
    assert isinstance(two, Item)
    assert (one.path, two.path) == (tmp_path / "x/one.wav", tmp_path / "tw o.wav")
    assert (one.details.external_id, one.details.title, one.details.artist) == ("id-1", "A, B", "Someone")
    assert (one.details.isrc, one.details.language) == ("USRC17607839", "pt-BR")
    assert str(one.details.release_date) == "1999-12-01"
    assert (two.details.external_id, two.details.title, two.details.artist) == ("", "", None)


def test_bad_csv_rows_are_named_by_line_and_the_others_taken(tmp_path: Path) -> None:
    rows = ["a.wav,A,2020-13-01", "b.wav,B,,surplus", ",C,", "http://x/d.wav,D,", "e.wav,E,2020"]
    manifest = write(tmp_path / "songs.csv", "uri,title,release_date\n" + "\n".join(rows) + "\n")
    found = list(items([manifest]))
    flaws = [item for item in found if isinstance(item, Flaw)]
    assert [flaw.where for flaw in flaws] == [f"{manifest}, line {line}" for line in (2, 3, 4, 5)]
    assert [flaw.error.detail for flaw in flaws] == [
        "release_date '2020-13-01' is not of the form YYYY-MM-DD",
        "there are more fields than columns",
        "uri is blank",
        "http:// is not read: copy the files to a folder or to S3",
    ]
    assert paths(found) == [tmp_path / "e.wav"]


def test_jsonl_manifest_names_bad_lines(tmp_path: Path) -> None:
    lines = [
        json.dumps({"uri": "a.wav", "title": 1999, "album": None}),
        "",
        "{not json",
        "[1]",
        json.dumps({"uri": "b.wav", "language": "Hindi!"}),
        json.dumps({"uri": "c.wav", "titel": "x"}),
        json.dumps({"uri": "d.wav", "title": ["x"]}),
    ]
    manifest = write(tmp_path / "songs.jsonl", "\n".join(lines))
    first, *flaws = list(items([manifest]))
    assert isinstance(first, Item)
    assert (first.details.title, first.details.album) == ("1999", None)
    assert [flaw.where.rpartition(" ")[2] for flaw in flaws if isinstance(flaw, Flaw)] == [*"34567"]
    assert "no column titel" in str(flaws[3])


def test_manifests_state_how_popular_a_song_is(tmp_path: Path) -> None:
    listed = write(tmp_path / "songs.csv", "uri,popularity_score\na.wav,12.5\nb.wav,\n")
    lines = [
        json.dumps({"uri": "c.wav", "popularity_score": 0.75}),
        json.dumps({"uri": "d.wav", "popularity_score": 3}),
    ]
    found = list(items([listed, write(tmp_path / "songs.jsonl", "\n".join(lines))]))
    assert [item.details.popularity_score for item in found if isinstance(item, Item)] == [12.5, 0.0, 0.75, 3.0]


@pytest.mark.parametrize("score", ["much", "-1", "nan", "inf", "1,5"])
def test_popularity_that_is_no_number_from_0_up_is_refused(tmp_path: Path, score: str) -> None:
    (flaw,) = items([write(tmp_path / "songs.jsonl", json.dumps({"uri": "a.wav", "popularity_score": score}))])
    assert isinstance(flaw, Flaw)
    assert flaw.error.detail == f"popularity_score {score!r} is not a number from 0 up"


@pytest.mark.parametrize("header", ["", "title,artist", "uri,titel"])
def test_header_that_is_none_is_refused_with_the_columns(tmp_path: Path, header: str) -> None:
    manifest = write(tmp_path / "songs.csv", header + "\na.wav,b\n")
    with pytest.raises(InvalidRequest, match="uri,external_id,title,artist"):
        list(items([manifest]))


def test_manifest_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "songs.csv").write_bytes("uri,title\na.wav,Señor\n".encode("latin-1"))
    with pytest.raises(InvalidRequest, match="UTF-8"):
        list(items([str(tmp_path / "songs.csv")]))


def test_manifest_that_cannot_be_opened_is_told_and_the_others_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = write(tmp_path / "locked.csv", "uri\na.wav\n")
    touch(tmp_path, "b.wav")
    open_path = Path.open

    def refuse(path: Path, *arguments: object, **named: object) -> object:
        if path.name == "locked.csv":  # as root, permissions do not refuse
            raise PermissionError(13, "Permission denied", path)
        return open_path(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)
    flaw, item = list(items([locked, str(tmp_path / "b.wav")]))
    assert isinstance(flaw, Flaw)
    assert (flaw.where, flaw.error.detail) == (locked, "Permission denied")
    assert isinstance(item, Item)


def test_second_row_of_an_external_id_is_refused_across_manifests(tmp_path: Path) -> None:
    first = write(tmp_path / "one.csv", "uri,external_id\na.wav,x\nb.wav,y\n")
    second = write(tmp_path / "two.csv", "uri,external_id\nc.wav,x\n")
    found = list(items([first, second]))
    assert paths(found) == [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert isinstance(found[2], Flaw)
    assert f"'x' was given before: {first}, line 2" in found[2].error.detail


def test_unreadable_folder_is_told_and_the_others_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.wav", "locked/b.wav")
    scandir = __import__("os").scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):  # as root, permissions do not refuse
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    found = list(items([str(tmp_path)]))
    assert paths(found) == [tmp_path / "a.wav"]
    assert [(flaw.where, flaw.error.detail) for flaw in found if isinstance(flaw, Flaw)] == [
        (str(tmp_path / "locked"), "Permission denied")
    ]
