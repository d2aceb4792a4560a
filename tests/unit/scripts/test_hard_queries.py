"""The hard queries: repeatable, complete, at the right place of the song, and simulators that do what they say."""

import json
import shutil

import numpy as np
import pytest
import soundfile

pytest.importorskip("scipy", reason="needs the lab extra")
if shutil.which("espeak-ng") is None:
    pytest.skip("needs espeak-ng", allow_module_level=True)

import make_hard_queries
from hard_queries.cells import CELLS, chosen_cells
from hard_queries.cuts import Song, cut, quietest_half_second, read_corpus
from hard_queries.dynamics import gain_controlled, gated
from hard_queries.loudspeaker import small_loudspeaker
from hard_queries.recorder import advanced_audio
from hard_queries.rooms import large_room
from hard_queries.sound import LEAD, RATE, level, mixed
from hard_queries.traffic import passing
from hard_queries.voices import conversation, formant_talker, talk
from hard_queries.warps import faster, higher, hurried
from typer.testing import CliRunner

SONG_SECONDS = 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with a song of the catalogue and another one: bursts of noise, which sound alike nowhere."""
    folder = tmp_path_factory.mktemp("corpus")
    tracks = []
    for seed, role in enumerate(("catalog", "negative")):
        rng = np.random.default_rng(seed)
        bursts = np.repeat(rng.random(SONG_SECONDS * 20) < 0.5, RATE // 20)
        samples = rng.normal(size=bursts.size) * np.where(bursts, 0.1, 0.01)
        soundfile.write(folder / f"{role}.wav", samples, RATE)
        tracks.append({"id": f"{role} song", "path": f"{role}.wav", "seconds": SONG_SECONDS, "role": role})
    (folder / "tracks.json").write_text(json.dumps(tracks))
    return folder


@pytest.fixture(scope="module")
def made(corpus, tmp_path_factory):
    """A clip of each cell, by the name of its cell: (row, samples)."""
    folder = tmp_path_factory.mktemp("made")
    listed = make_hard_queries.make_queries(read_corpus(corpus), folder, chosen_cells(""), per_cell=1, seed=1)
    return {row["cell"]: (row, soundfile.read(row["path"])[0]) for row in json.loads(listed.read_text())}


def tone(hz, seconds=2.0):
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)


def loudest_hz(samples):
    return float(np.argmax(np.abs(np.fft.rfft(samples * np.hanning(samples.size)))) * RATE / samples.size)


def lag_seconds(clip, song, offset_seconds, *, reach_seconds=0.5):
    """How much later than at its offset the clip fits the song best."""
    first = round((offset_seconds - reach_seconds) * RATE)
    stretch = song[first : first + clip.size + 2 * round(reach_seconds * RATE)]
    size = stretch.size + clip.size
    scores = np.fft.irfft(np.fft.rfft(stretch, size) * np.conj(np.fft.rfft(clip, size)), size)
    return int(np.argmax(np.abs(scores[: stretch.size - clip.size + 1]))) / RATE - reach_seconds


def envelope(samples):
    smooth = np.convolve(samples**2, np.ones(80) / 80, "same") ** 0.5
    return smooth - smooth.mean()


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_clip_is_sane_when_made(cell, made):
    row, clip = made[cell.name]

    info = soundfile.info(row["path"])
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
    assert clip.size == cell.seconds * RATE == row["seconds"] * RATE
    assert np.abs(clip).max() < 0.985
    assert -40 < 20 * np.log10(clip.std()) < -15
    assert abs(clip.mean()) < 1e-3


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_only_songs_of_the_catalogue_are_answers_when_listed(cell, made):
    row, _ = made[cell.name]

    assert list(row) == ["cell", "path", "track", "offset_s", "seconds"]
    assert row["track"] == ("catalog song" if cell.plays == "catalog" else None)
    assert (row["offset_s"] is None) == (row["track"] is None) == cell.name.startswith("hard_neg")


@pytest.mark.parametrize("name", [cell.name for cell in CELLS if cell.plays == "catalog"])
def test_offset_is_the_first_samples_place_when_there_is_a_song(name, made, corpus):
    row, clip = made[name]
    song = soundfile.read(corpus / "catalog.wav")[0]
    kind, per_cent = name[:5], name[5:7]

    if kind in ("speed", "tempo"):
        factor = 1 + float(per_cent) / 100
        clip = np.interp(np.arange(int(clip.size * factor)) / factor, np.arange(clip.size), clip)
    if kind in ("speed", "tempo", "pitch"):
        clip, song = envelope(clip), envelope(song)

    assert abs(lag_seconds(clip, song, row["offset_s"])) < 0.03


def test_clips_are_the_same_when_the_seed_is(corpus, tmp_path):
    for name, cells, seed in (("all", "car,tempo+8", 1), ("one", "tempo+8_5s", 1), ("other", "tempo+8", 2)):
        arguments = [str(corpus), str(tmp_path / name), "--cells", cells, "--per-cell", "2", "--seed", str(seed)]
        done = CliRunner().invoke(_app(), arguments)
        assert done.exit_code == 0, done.output

    clips = [(tmp_path / name / "tempo+8_5s" / "001.wav").read_bytes() for name in ("all", "one", "other")]
    assert clips[0] == clips[1] != clips[2]
    assert len(json.loads((tmp_path / "all" / "queries.json").read_text())) == 4
    assert len(json.loads((tmp_path / "one" / "queries.json").read_text())) == 2


def _app():
    import typer

    app = typer.Typer()
    app.command()(make_hard_queries.main)
    return app


@pytest.mark.parametrize("cells", ["car_3s", "boat"])
def test_command_fails_when_a_cell_is_unknown(cells, corpus, tmp_path):
    done = CliRunner().invoke(_app(), [str(corpus), str(tmp_path / "out"), "--cells", cells])

    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_cut_is_audible_when_most_of_the_song_is_silent(tmp_path):
    samples = np.zeros(120 * RATE)
    samples[40 * RATE : 65 * RATE] = 0.1 * tone(440, 25)
    soundfile.write(tmp_path / "song.wav", samples, RATE)
    song = Song("song", tmp_path / "song.wav", 120.0, "catalog")

    for seed in range(5):
        _, offset, heard = cut([song], 5, np.random.default_rng(seed))
        assert 40 <= offset <= 60
        assert quietest_half_second(heard[LEAD : LEAD + 5 * RATE]) > 0.05


def test_cut_fails_when_no_song_is_long_enough(tmp_path):
    with pytest.raises(ValueError, match="longer than"):
        cut([Song("short", tmp_path / "song.wav", 8.0, "catalog")], 5, np.random.default_rng(1))


def test_ratio_is_that_of_what_is_heard_when_sounds_are_mixed():
    rng = np.random.default_rng(1)
    music, noise = rng.normal(size=RATE), 50 * rng.normal(size=RATE)

    both = mixed(music, noise, 6)

    assert level(both - music / level(music)) == pytest.approx(10 ** (-6 / 20), rel=1e-6)
    assert level(tone(40)) < level(tone(1000)) / 30


def test_loudspeaker_distorts_evenly_and_oddly_when_it_plays_a_tone():
    played = small_loudspeaker(tone(500), np.random.default_rng(1))

    spectrum = np.abs(np.fft.rfft(played[RATE // 2 : 3 * RATE // 2] * np.hanning(RATE)))
    assert spectrum[1000] > 0.01 * spectrum[500]
    assert spectrum[1500] > 0.005 * spectrum[500]
    assert spectrum[750] < 1e-3 * spectrum[500]


@pytest.mark.parametrize("decay_seconds", [1.2, 2.5])
def test_hall_rings_as_long_and_as_loud_as_asked_when_drawn(decay_seconds):
    response = large_room(np.random.default_rng(1), decay_seconds, -6)

    late = response[1:]
    left_db = 10 * np.log10(np.cumsum(late[::-1] ** 2)[::-1] / np.sum(late**2))
    measured = 3 * (np.argmax(left_db < -25) - np.argmax(left_db < -5)) / RATE
    assert 0.7 * decay_seconds < measured < 1.05 * decay_seconds
    assert np.sum(late**2) == pytest.approx(10**0.6 * response[0] ** 2)


def test_pitch_falls_when_a_source_passes():
    heard = passing(4 * RATE, np.random.default_rng(3), lambda length, _: tone(1000, length / RATE))

    coming, going = loudest_hz(heard[: RATE // 2]), loudest_hz(heard[-RATE // 2 :])
    assert coming > 1005
    assert going < 995


def test_gate_and_gain_control_change_levels_when_loudness_changes():
    steps = np.repeat([1.0, 0.1, 1.0], 6 * RATE)
    sound = np.random.default_rng(1).normal(size=steps.size) * steps
    loud, quiet, again = slice(5 * RATE, 6 * RATE), slice(11 * RATE, 12 * RATE), slice(12 * RATE, 12 * RATE + 80)

    gate = gated(sound, np.random.default_rng(1))
    control = gain_controlled(sound, np.random.default_rng(1))

    assert gate[loud].std() / gate[quiet].std() > 20
    assert control[loud].std() / control[quiet].std() < 5
    assert np.abs(control[again]).mean() > 1.3 * np.abs(control[loud]).mean()


def test_memo_loses_treble_and_no_time_when_coded():
    sound = np.random.default_rng(1).normal(size=3 * RATE)

    coded = advanced_audio(sound, 24)

    assert coded.size == sound.size
    assert abs(lag_seconds(coded[RATE : 2 * RATE], sound, 1.0)) < 0.002
    assert np.corrcoef(coded, sound)[0, 1] < 0.98


@pytest.mark.parametrize(
    ("warp", "factor", "hz", "seconds"),
    [(faster, 1.08, 1080, 4 / 1.08), (hurried, 1.08, 1000, 4 / 1.08), (higher, 0.94, 940, 4)],
)
def test_only_the_named_changes_when_warped(warp, factor, hz, seconds):
    warped = warp(tone(1000, 4), factor)

    assert loudest_hz(warped[RATE : 3 * RATE]) == pytest.approx(hz, rel=0.01)
    assert warped.size / RATE == pytest.approx(seconds, abs=0.15)


def test_speech_pauses_and_fills_the_time_when_people_talk():
    rng = np.random.default_rng(1)
    one, two = talk(5 * RATE, rng, formant_talker(rng)), conversation(5 * RATE, rng)

    for speech in (one, two):
        seconds = speech.reshape(-1, RATE).std(axis=1)
        tenths = speech.reshape(-1, RATE // 50).std(axis=1)
        assert speech.size == 5 * RATE
        assert (seconds > 0.1).all()
        assert np.quantile(tenths, 0.9) > 5 * np.quantile(tenths, 0.05)
