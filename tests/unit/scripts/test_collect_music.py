"""The music collector: which packages, which of their files, and what is listed."""

import io
import json
import zipfile

import collect_music
import numpy as np
import pytest
import soundfile
import typer
from collect_music import MIXED, PACKAGES, RATE_HZ, RESERVED, Role, chosen, collect
from typer.testing import CliRunner

LONG, SHORT = 41, 39


def recording(seconds, *, format_="FLAC"):
    """The bytes of stereo noise at 22.05 kHz, more than 250 kB."""
    file = io.BytesIO()
    noise = np.random.default_rng(seconds).normal(0, 0.1, (seconds * 22_050, 2))
    soundfile.write(file, noise, 22_050, format=format_)
    return file.getvalue()


@pytest.fixture
def unpacked(tmp_path):
    """A package: two tracks, a short one, a small one, a link, text that claims to be audio, and a licence."""
    root = tmp_path / "unpacked"
    files = {
        "usr/share/games/game/music/theme.flac": recording(LONG),
        "usr/share/games/game/voices/story.wav": recording(LONG + 1, format_="WAV"),
        "usr/share/games/game/music/jingle.flac": recording(SHORT),
        "usr/share/games/game/music/click.ogg": b"OggS",
        "usr/share/games/game/music/text.ogg": b"no audio" * 40_000,
        "usr/share/doc/game/copyright": b"CC-BY-SA-4.0",
        "usr/share/doc/0ad-data/copyright": b"CC-BY-SA-3.0",
    }
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "usr/share/games/game/music/again.flac").symlink_to("theme.flac")
    with zipfile.ZipFile(root / "usr/share/games/game/public.zip", "w") as archive:
        archive.writestr("audio/music/hymn.flac", recording(LONG + 2))
        archive.writestr("audio/voice/speech.flac", recording(LONG + 3))
    return root


def test_no_package_is_reserved_when_it_has_a_role():
    assert not [name for names in PACKAGES.values() for name in names if name.startswith(RESERVED)]


def test_no_package_is_listed_twice_when_roles_are_put_together():
    every = [name for names in PACKAGES.values() for name in names]

    assert len(set(every)) == len(every)


@pytest.mark.parametrize("name", ["wesnoth-1.16-music", "warzone2100-music", "hedgewars-data", "no-such-package"])
def test_package_is_refused_when_it_is_reserved_or_unknown(name):
    with pytest.raises(typer.BadParameter, match=name):
        chosen(Role.ALL, [name])


def test_only_packages_of_the_role_are_chosen_when_one_is_given():
    assert set(chosen(Role.DISTRACT, None).values()) == {Role.DISTRACT}
    assert chosen(Role.ALL, None).keys() == {name for names in PACKAGES.values() for name in names}
    assert chosen(Role.ALL, ["naev-data"]) == {"naev-data": Role.DISTRACT}
    with pytest.raises(typer.BadParameter):
        chosen(Role.TRAIN, ["naev-data"])


def test_long_tracks_become_mono_wav_when_a_package_is_collected(unpacked, tmp_path):
    tracks = collect("game", Role.TRAIN, unpacked, tmp_path)

    assert {track["id"]: track["seconds"] for track in tracks} == {"game__music_theme": 41, "game__voices_story": 42}
    assert {track["path"] for track in tracks} == {f"train/{track['id']}.wav" for track in tracks}
    info = soundfile.info(tmp_path / "train" / "game__music_theme.wav")
    assert (info.samplerate, info.channels, info.subtype) == (RATE_HZ, 1, "PCM_16")
    assert len(list((tmp_path / "train").iterdir())) == 2
    assert (tmp_path / "copyright" / "game").read_text() == "CC-BY-SA-4.0"


def test_short_recordings_are_taken_when_a_package_is_of_people_speaking(unpacked, tmp_path):
    tracks = collect("tuxpaint-stamps-default", Role.SPEECH, unpacked, tmp_path)

    assert "tuxpaint-stamps-default__music_jingle" in {track["id"] for track in tracks}


def test_only_music_is_taken_and_from_archives_too_when_a_package_is_mixed(unpacked, tmp_path):
    assert "0ad-data" in MIXED

    tracks = collect("0ad-data", Role.TRAIN, unpacked, tmp_path)

    assert {track["id"] for track in tracks} == {"0ad-data__music_theme", "0ad-data__music_hymn"}


def test_collected_packages_are_not_downloaded_again_when_the_command_goes_on(unpacked, tmp_path, monkeypatch):
    downloaded = []

    def download(package, scratch):
        downloaded.append(package)
        if package == "enigma-data":
            return False
        (scratch / "music").mkdir()
        (scratch / "music" / "theme.flac").write_bytes(recording(LONG))
        return True

    monkeypatch.setattr(collect_music, "download", download)
    app = typer.Typer()
    app.command()(collect_music.main)
    packages = ["--package", "naev-data", "--package", "enigma-data"]

    runs = [CliRunner().invoke(app, [str(tmp_path / "music"), *packages]) for _ in range(2)]

    assert [run.exit_code for run in runs] == [0, 0]
    assert "apt has no enigma-data" in runs[0].stderr
    assert downloaded == ["enigma-data", "naev-data", "enigma-data"]
    [listed] = json.loads((tmp_path / "music" / "tracks.json").read_text())
    assert (listed["id"], listed["role"]) == ("naev-data__music_theme", "distract")
