"""The scale measurement: its distractors, its engines, what squeezing leaves, and the command around it."""

import io
import json
import sys
from itertools import islice, pairwise

import measure_scale
import numpy as np
import pytest
from measurement.distractors import (
    SPEEDS,
    Fingerprinter,
    Sound,
    as_rows,
    blended,
    distractors,
    likeness,
    resampled,
    rows_of,
    unit,
)
from measurement.engines import Cells, Exhaustive, IvfPq, nearest_exact, recall
from measurement.growth import Asked, GrowingCatalogue, timed_clips
from measurement.scale_report import tables
from measurement.scoring import Query
from measurement.squeezing import FORMATS
from rich.console import Console
from sonica_fingerprint import DIMENSIONS, EMBEDDING_SCALE, STEP_MS, Fingerprint

from backend.audio.limits import DecoderLimits
from backend.models import CATALOGUE_THINNING
from backend.settings import Settings
from tests.music import write_clip, write_song

SIMILAR = 0.8  # between neighbouring segments of drawn_song


def drawn_rows(count, *, seed=1):
    return as_rows(unit(np.random.default_rng(seed).normal(size=(count, DIMENSIONS))))


def drawn_song(seed, segments=100):
    """A fingerprint as the catalogue stores it, whose neighbouring segments are alike."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(segments, DIMENSIONS))
    for before, after in pairwise(range(segments)):
        rows[after] = SIMILAR * rows[before] + np.sqrt(1 - SIMILAR**2) * rows[after]
    duration_ms = segments * CATALOGUE_THINNING * STEP_MS
    levels = bytes(rng.integers(10, 50, segments).tolist())
    return Fingerprint(as_rows(unit(rows)).tobytes(), levels, duration_ms, CATALOGUE_THINNING)


def cosines(one, other):
    return (unit(one) * unit(other)).sum(axis=1)


@pytest.fixture
def fingerprinter(tmp_path):
    return Fingerprinter(tmp_path / "cache", DecoderLimits.from_settings(Settings()))


# --- distractors -----------------------------------------------------------------------------------------------------


def test_segments_are_between_two_songs_and_keep_their_order_when_songs_are_blended():
    songs = [drawn_song(seed, 400) for seed in (1, 2, 3)]

    made = next(blended(songs, seed=1))

    rows = rows_of(made)
    nearest = [(unit(rows) @ unit(rows_of(song)).T).max(axis=1).mean() for song in songs]
    assert cosines(rows, rows_of(songs[0])).mean() == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert sum(cosine > 0.65 for cosine in nearest) == 2
    assert cosines(rows[1:], rows[:-1]).mean() == pytest.approx(SIMILAR, abs=0.05)
    assert (made.levels, made.duration_ms) == (songs[0].levels, songs[0].duration_ms)


def test_blended_songs_come_without_end_when_real_and_resampled_ones_are_used_up():
    real, others = [drawn_song(1), drawn_song(2)], [drawn_song(3)]

    first = list(islice(distractors(real, others, seed=1), 10))

    assert [kind for kind, _ in first] == ["real"] * 2 + ["resampled"] + ["blended"] * 7
    assert len({song.embeddings for _, song in first}) == 10


def test_no_more_sounds_are_resampled_when_the_hours_are_there(tmp_path):
    paths = [write_song(tmp_path / f"{seed}.wav", seed, seconds=10) for seed in (1, 2)]

    assert resampled(paths, 0) == []
    assert resampled(paths, 20 / 3600) == [Sound(paths[0], SPEEDS[0]), Sound(paths[1], SPEEDS[0])]
    everything = resampled(paths, 1)
    assert len(set(everything)) == len(everything) == 2 * (2 * len(SPEEDS) + 1)
    assert all(sound.backwards or abs(sound.speed - 1) > 0.13 for sound in everything)


def test_fingerprint_is_another_when_a_sound_is_slower_or_backwards(tmp_path, fingerprinter):
    path = write_song(tmp_path / "song.wav", 1, seconds=12)
    sounds = [Sound(path), Sound(path, 0.75), Sound(path, 1.0, backwards=True)]

    plain, slower, backwards = fingerprinter.fingerprints(sounds, "songs")

    assert plain.thinning == CATALOGUE_THINNING
    assert plain.duration_ms == backwards.duration_ms == 12_000
    assert slower.duration_ms == 16_000
    assert len({song.embeddings for song in (plain, slower, backwards)}) == 3


def test_fingerprint_is_made_anew_only_when_the_file_changes(tmp_path, fingerprinter, monkeypatch):
    path = write_song(tmp_path / "song.wav", 1)
    [first] = fingerprinter.fingerprints([Sound(path)], "songs")
    with monkeypatch.context() as patched:
        patched.delattr("measurement.distractors.extract")
        assert fingerprinter.fingerprints([Sound(path)], "songs") == [first]

    write_song(path, 2, seconds=9)

    assert fingerprinter.fingerprints([Sound(path)], "songs") != [first]


def test_likeness_is_higher_when_a_kind_is_nearer_to_the_strangers():
    strangers = [drawn_song(1)]
    halfway = next(blended([*strangers, drawn_song(2)], seed=2))

    found = likeness(strangers, {"near": [halfway], "far": [drawn_song(3)]})

    assert found["near"] == pytest.approx(np.sqrt(0.5), abs=0.1)
    assert found["far"] < found["near"] - 0.1


async def test_catalogue_grows_by_distractors_when_more_is_wanted():
    songs = [drawn_song(seed) for seed in (1, 2)]
    catalogue = GrowingCatalogue(songs, distractors([drawn_song(3)], [drawn_song(4)], seed=1))

    given = []
    for times in (1, 3):
        catalogue.wanted_ms = times * sum(song.duration_ms for song in songs)
        given.append([change.song_id async for change in catalogue.changes(after_revision=0)])

    assert given == [[1, 2], [3, 4, 5, 6]]
    assert dict(catalogue.kinds) == {kind: n * songs[0].duration_ms for kind, n in
                                     [("catalogue", 2), ("real", 1), ("resampled", 1), ("blended", 2)]}  # fmt: skip
    assert len(catalogue.rows) == 600


# --- engines ---------------------------------------------------------------------------------------------------------


def test_exact_search_finds_the_largest_products_when_there_are_many_blocks(monkeypatch):
    monkeypatch.setattr("measurement.engines._BLOCK", 64)
    table, queries = drawn_rows(300), drawn_rows(7, seed=2)

    products, ordinals = nearest_exact(queries, table, count=5)

    every = queries.astype(np.int64) @ table.astype(np.int64).T
    assert np.array_equal(products, -np.sort(-every, axis=1)[:, :5])
    assert np.array_equal(np.take_along_axis(every, ordinals, axis=1), products)


def test_recall_counts_any_when_several_are_as_near():
    exact = np.array([[9.0, 7.0, 5.0], [8.0, 8.0, 1.0]])

    assert recall(exact, exact, 3) == 1
    assert recall(np.array([[9.0, 5.0, 4.0], [8.0, 1.0, 1.0]]), exact, 1) == 1
    assert recall(np.array([[9.0, 5.0, 4.0], [8.0, 1.0, 1.0]]), exact, 2) == 0.5
    assert recall(np.array([[7.0, 5.0, -np.inf], [-np.inf] * 3]), exact, 1) == 0


def test_cells_find_what_exact_search_does_only_when_all_are_probed():
    table = drawn_rows(2000)
    queries = drawn_rows(50, seed=2)
    cells = Cells.of(table, seed=1)
    engine = IvfPq(table, cells, code_bytes=DIMENSIONS // 2, seed=1)
    exact, _ = nearest_exact(queries, table, count=1)

    shares = []
    for engine.probes in (1, cells.count):
        shares.append(recall(engine.nearest(queries, count=1)[0], exact, 1))

    assert shares[0] < 0.6 < 0.9 < shares[1]
    products, ordinals = engine.nearest(queries, count=10)
    assert np.array_equal((table[ordinals].astype(int) * queries[:, None].astype(int)).sum(axis=2), products)


def test_cells_take_fewer_bytes_when_codes_are_smaller():
    table = drawn_rows(1000)
    cells = Cells.of(table, seed=1)

    large, small = (IvfPq(table, cells, code_bytes=DIMENSIONS // part, seed=1).nbytes for part in (2, 4))

    assert large - small == 1000 * DIMENSIONS // 4


def test_exhaustive_search_answers_only_when_it_was_prepared():
    table = drawn_rows(300)
    queries = [drawn_rows(3, seed=2), drawn_rows(5, seed=3)]
    engine = Exhaustive(table)
    engine.prepare(queries, count=10)

    for rows in queries:
        assert np.array_equal(engine.nearest(rows, count=4)[1], nearest_exact(rows, table, count=4)[1])
    with pytest.raises(KeyError):
        engine.nearest(drawn_rows(1, seed=4), count=1)


# --- formats ---------------------------------------------------------------------------------------------------------


def test_less_is_left_of_vectors_when_formats_are_smaller():
    rows = np.concatenate([rows_of(drawn_song(seed, 300)) for seed in range(3)])
    full = [form for form in FORMATS if form.dimensions == DIMENSIONS]

    left = [float(cosines(rows, form.fitted(rows)(rows)).mean()) for form in full]

    assert [form.name for form in full] == ["float32", "SQ8", "SQ4", "PQ64", "PQ32", "binary"]
    assert left[0] == left[1] == pytest.approx(1)
    assert left[2] > 0.97
    assert 0.97 < left[3] < 1
    assert 0.6 < left[4] < left[3]
    assert left[5] == pytest.approx(np.sqrt(2 / np.pi), abs=0.03)
    sizes = [form.bytes_per_vector for form in full]
    assert sizes == [4 * DIMENSIONS, DIMENSIONS, DIMENSIONS // 2, DIMENSIONS // 2, DIMENSIONS // 4, DIMENSIONS // 8]


@pytest.mark.parametrize("form", [form for form in FORMATS if form.dimensions < DIMENSIONS], ids=lambda form: form.name)
def test_only_first_dimensions_count_when_a_format_has_half_of_them(form):
    rows = drawn_rows(1000)
    others = rows.copy()
    others[:, form.dimensions :] = drawn_rows(1000, seed=2)[:, form.dimensions :]

    left, query = form.fitted(rows)(others), form.of_query(others)

    assert not left[:, form.dimensions :].any()
    assert cosines(form.of_query(rows), query) == pytest.approx(1)
    assert np.abs(np.linalg.norm(query.astype(float), axis=1) / EMBEDDING_SCALE - 1).mean() < 0.02


def test_ranks_are_those_of_hamming_distances_when_only_signs_are_left():
    form = next(form for form in FORMATS if form.name == "binary")
    table, query = drawn_rows(200), drawn_rows(1, seed=2)

    products = form.fitted(table)(table).astype(int) @ form.of_query(query)[0].astype(int)

    distances = ((table < 0) != (query < 0)).sum(axis=1)
    assert np.array_equal(np.argsort(-products, kind="stable"), np.argsort(distances, kind="stable"))


# --- the command -----------------------------------------------------------------------------------------------------


def test_clips_of_five_seconds_are_timed_when_there_are_any():
    asked = [Asked(Query(str(ms), "cell", "a", 0.0), Fingerprint(b"", b"", ms)) for ms in (1000, 5000, 10_000)]

    assert timed_clips(asked) == [asked[1]]
    assert timed_clips(asked[:1]) == asked[:1]


@pytest.fixture
def corpus(tmp_path):
    """Arguments: three songs, clips of two of them and of another, and two distractors."""
    songs = [write_song(tmp_path / "songs" / f"{seed}.wav", seed, seconds=50) for seed in (1, 2, 3)]
    tracks = [{"id": path.stem, "path": str(path), "role": "catalog"} for path in songs]
    tracks.append({"id": "unused", "path": "nowhere.wav", "role": "negative"})
    (tmp_path / "tracks.json").write_text(json.dumps(tracks))
    for seed in (11, 12):
        write_song(tmp_path / "others" / f"{seed}.wav", seed, seconds=40)
    clips = [
        {"path": str(write_clip(tmp_path / f"clip{seed}.wav", seed, start_seconds=20, seconds=5)), "cell": cell,
         "track": song, "offset_s": song and 20.0}
        for seed, cell, song in [(1, "clean_5s", "1"), (3, "clean_5s", "3"), (7, "neg_5s", None)]
    ]  # fmt: skip
    (tmp_path / "queries.json").write_text(json.dumps(clips))
    return [tmp_path / "tracks.json", tmp_path / "queries.json", tmp_path / "others", "--cache", tmp_path / "cache"]


def run(arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["measure_scale.py", *map(str, arguments)])
    measure_scale.main()


def test_every_size_and_engine_is_measured_when_the_command_runs(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure_scale, "FORMATS", [form for form in FORMATS if form.codec == "SQ4"])
    few = ["--times", 0, 2.5, "--depths", 64, "--neighbours", 20, "--candidates", 48, "--probes", 4, "--code-bytes", 64]
    run([*corpus, *few, "--squeeze-to", 0, "--json", tmp_path / "scale.json"], monkeypatch)

    document = json.loads((tmp_path / "scale.json").read_text())
    small, large = document["sizes"]
    assert list(small["hours"]) == ["catalogue"]
    assert list(large["hours"]) == ["catalogue", "real", "resampled"]
    assert sum(large["hours"].values()) >= 3.5 * small["hours"]["catalogue"]
    assert [row["kind"] for row in large["engines"]] == ["hnsw"] * 5 + ["ivf"]
    assert [row["engine"] for row in small["engines"][6:]] == ["as the product", "SQ4", "SQ4 of 64"]
    graphs = [row for row in small["engines"] + large["engines"] if row["kind"] == "hnsw"]
    assert all(row["top1"] == 1 and row["recall_at_1"] > 0.9 for row in graphs)
    assert set(document["likeness"]) == {"catalogue", "real", "resampled", "blended"}
    assert "clean_5s" in capsys.readouterr().out


def test_command_ends_with_a_reason_when_the_distractors_folder_holds_no_audio(corpus, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    corpus[2] = tmp_path / "empty"

    with pytest.raises(SystemExit, match="no audio"):
        run([*corpus, "--times", 1], monkeypatch)


def test_curves_are_drawn_when_a_folder_is_given(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the lab extra")
    document = drawn_document()

    measure_scale.draw(document, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {
        "accuracy_by_size.png", "search_by_size.png", "accuracy_by_bytes.png"
    }  # fmt: skip
    assert all(path.stat().st_size > 10_000 for path in tmp_path.iterdir())


def test_every_size_and_engine_is_in_the_tables_when_they_are_shown():
    console = Console(width=200, file=io.StringIO())

    for table in tables(drawn_document()):
        console.print(table)

    shown = console.file.getvalue()
    assert all(word in shown for word in ("mic_5s", "75.0 / 50.0", "0x", "10x", "HNSW depth 256", "SQ4 of 64"))


def drawn_document():
    cell = {"negative": False, "top1": {"share": 0.75, "of": 4}, "gated": {"share": 0.5, "of": 4}}
    common = {
        "neighbours": 10,
        "candidates": 24,
        "bytes_per_hour": 1e6,
        "rescored_bytes_per_hour": 0,
        "top1": 0.75,
        "accepted": 0.5,
        "gated": 0.5,
    }
    common |= {"verify_ms": {"median": 2.0, "p95": 3.0}, "scores": {"cells": {"mic_5s": cell}}}
    graph = {"engine": "HNSW depth 256", "kind": "hnsw", "recall_at_1": 1.0, "recall_at_10": 0.9}
    graph |= {"search_ms": {"median": 4.0, "p95": 5.0}}
    squeezed = {"engine": "SQ4 of 64", "kind": "squeezed", "dimensions": 64, "search_ms": None}
    engines = [common | graph, common | squeezed]
    sizes = [
        {"times": times, "hours": {"catalogue": 6.7, "real": 6.7 * times}, "segments": 47_000, "engines": engines}
        for times in (0, 10)
    ]
    product = {"engine": "HNSW depth 256", "neighbours": 10, "candidates": 24}
    return {"product": product, "likeness": {"real": 0.5}, "sizes": sizes}
