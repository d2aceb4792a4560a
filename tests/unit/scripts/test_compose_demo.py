"""The demo composer: repeatable, complete, and of sane levels."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from compose_demo import COLUMNS, write_manifest, write_piece
from demo_music.arrangement import perform
from demo_music.mixing import render
from demo_music.score import Style
from demo_music.styles import STYLES
from demo_music.synthesis import SAMPLE_RATE


def shortened(style: Style) -> Style:
    """The style's piece, of two phrases only."""
    return replace(style, form="A O")


def named(genre: str) -> Style:
    return next(style for style in STYLES if style.genre == genre)


@pytest.mark.parametrize("genre", ["Lo-fi hip-hop", "Music box"])
def test_levels_are_sane_when_a_piece_is_rendered(genre):
    samples = render(shortened(named(genre)), 1)

    loudness_db = 20 * np.log10(np.sqrt(np.mean(samples**2)))
    tenths = samples[: samples.size // 2205 * 2205].reshape(-1, 2205).std(axis=1)
    assert np.abs(samples).max() < 0.98
    assert abs(samples.mean()) < 1e-3
    assert -20 < loudness_db < -14
    assert (tenths[:-20] > 1e-3).mean() > 0.95


def test_the_same_bytes_are_written_when_the_seed_is_the_same(tmp_path):
    style = shortened(named("Music box"))

    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_piece(tmp_path / f"{name}.wav", style, seed)

    one, again, other = ((tmp_path / f"{name}.wav").read_bytes() for name in ("one", "again", "other"))
    assert one == again
    assert one != other
    assert soundfile.info(tmp_path / "one.wav").samplerate == SAMPLE_RATE
    assert soundfile.info(tmp_path / "one.wav").subtype == "PCM_16"


def test_manifest_describes_every_piece_when_written(tmp_path):
    with write_manifest(tmp_path, STYLES).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == len(STYLES) >= 24
    assert tuple(rows[0]) == COLUMNS
    assert all(row["uri"] == f"{row['external_id']}.wav" for row in rows)
    assert all(row["title"] and row["artist"] and row["album"] and row["release_date"] for row in rows)
    assert not any(row["isrc"] or row["language"] for row in rows)
    assert len({row["genre"] for row in rows}) == len({row["uri"] for row in rows}) == len(rows)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.genre)
def test_piece_has_a_song_length_when_performed(style):
    assert 50 <= perform(style, 1).seconds <= 75


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.genre)
def test_piece_is_no_loop_when_its_sections_are_compared(style):
    sections = set(style.form.split())

    textures = {frozenset(part for part in style.parts if section in part.sections) for section in sections}

    assert len(textures) >= 3
