"""The comparison: matchers that are ours, programs that are not, what they cost, and the tables."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import compare_peers
import numpy as np
import pytest
import soundfile
from measurement.scoring import Answer, Query
from peers import measuring
from peers.audfprint import Audfprint
from peers.chromaprint import ITEM_SECONDS, Chromaprint, best_alignment
from peers.landmarks import Landmarks, hashes_of
from peers.measuring import Trial, measure
from peers.published import LENGTHS, PUBLISHED
from peers.sheets import accuracy_sheet, costs_sheet, published_sheet
from peers.system import NotInstalled

from backend.audio.limits import DecoderLimits
from backend.settings import Settings

RATE = 16_000
LIMITS = DecoderLimits.from_settings(Settings())


def items(count, *, seed=1):
    return np.random.default_rng(seed).integers(2**32, size=count, dtype=np.uint32)


def unwatched(steps, **_):
    return steps


def install(folder, name, lines):
    """Put a program on a PATH of its own that runs these lines of Python."""
    program = folder / name
    program.write_text("\n".join([f"#!{sys.executable}", "import sys", *lines]))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def melody(seed, seconds=8.0):
    """Notes of random pitch, eight a second."""
    rng = np.random.default_rng(seed)
    times = np.arange(RATE // 8) / RATE
    notes = [
        np.sin(2 * np.pi * pitch * times) * np.exp(-9 * times) for pitch in rng.uniform(200, 3000, int(8 * seconds))
    ]
    return 0.3 * np.concatenate(notes).astype(np.float32)


class Memory:
    """A system that knows the answers; its clock is its CPU."""

    name = "Memory"
    about = "knows"

    def __init__(self, answers):
        self.answers = answers
        self.clock = 0.0

    def ingest(self, songs, watch):
        self.clock += 2.0 * len(list(watch(songs)))

    def ask(self, clips):
        self.clock += 1.0 + 0.25 * len(clips)
        return {clip: self.answers[clip] for clip in clips if clip in self.answers}

    def index_bytes(self):
        return 3_000_000


QUERIES = [
    *(Query(f"k{number}", "clean_5s", "a", 1.0) for number in range(4)),
    *(Query(f"n{number}", "neg_5s", None, None) for number in range(2)),
]
ANSWERS = {
    "k0": Answer(song="a", score=9.0),
    "k1": Answer(song="a", score=1.0),
    "k2": Answer(song="b", score=9.0),
    "n0": Answer(song="a", score=2.0),
    "n1": Answer(song="a", score=0.0),
}


def measured(monkeypatch):
    system = Memory(ANSWERS)
    monkeypatch.setattr(measuring, "cpu_seconds", lambda: system.clock)
    return measure(system, Trial({"a": "a.wav", "b": "b.wav"}, 7200.0, QUERIES, 0.01), unwatched)


def test_alignment_is_found_when_bits_of_a_cut_are_flipped():
    song = items(200)
    clip = song[120:140] ^ np.uint32(0b1001)

    found = best_alignment(clip, np.concatenate([items(50, seed=2), song]), np.array([50, 250]))

    assert found == (1, 120, pytest.approx(2 / 32))


def test_alignment_stays_inside_a_song_when_the_best_one_crosses_its_end():
    both = items(100)

    song, item, error_rate = best_alignment(both[45:55], both, np.array([50, 100]))

    assert (song, item) != (0, 45)
    assert item + 10 <= 50
    assert error_rate > 0.25


def test_alignment_with_more_equal_items_is_taken_when_bit_errors_are_the_same():
    clip = items(2)
    spread, gathered = clip ^ np.array([0b111, 0b111], np.uint32), clip ^ np.array([0, 0b111111], np.uint32)

    found = best_alignment(clip, np.concatenate([spread, gathered]), np.array([2, 4]))

    assert found == (1, 0, pytest.approx(6 / 64))


@pytest.mark.parametrize("ends", [[4, 8], [4]])
def test_there_is_no_alignment_when_every_song_is_shorter_than_the_clip(ends):
    assert best_alignment(items(5), items(ends[-1]), np.array(ends)) is None


def test_chromaprint_answers_when_fpcalc_fails_after_it_printed(tmp_path, monkeypatch):
    install(
        tmp_path,
        "fpcalc",
        [
            "values = open(sys.argv[-1]).read()",
            "print('DURATION=9\\nFINGERPRINT=' + values if values else '')",
            "sys.exit(3)",
        ],
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    song = items(60)
    for name, part in {"one": items(40, seed=2), "other": song, "cut": song[30:50], "short": song[:0]}.items():
        (tmp_path / name).write_text(",".join(map(str, part)))

    system = Chromaprint()
    system.ingest({name: tmp_path / name for name in ("one", "other")}, unwatched)
    answers = system.ask([str(tmp_path / "cut"), str(tmp_path / "short")])

    assert answers[str(tmp_path / "cut")] == Answer(
        song="other", offset_ms=pytest.approx(30_000 * ITEM_SECONDS), score=0
    )
    assert answers[str(tmp_path / "short")].song is None
    assert system.index_bytes() == 400


def test_audfprint_answers_when_its_log_names_a_match(tmp_path, monkeypatch):
    install(
        tmp_path,
        "audfprint",
        [
            "table, files = sys.argv[2], [word for word in sys.argv if word.endswith('.wav')]",
            "say = lambda line: print('DEBUG:audfprint2:' + line, file=sys.stderr)",
            "if 'new' in sys.argv:",
            "    [say(f'Sat Nov 21 ingesting #{n}: {file} ...') for n, file in enumerate(files)]",
            "    open(table, 'w').write('12345')",
            "elif 'broken.wav' in files: sys.exit(1)",
            "else:",
            "    say(f'Matched {files[0]} 4.8 sec 353 raw hashes as /my songs/b.wav at   54.5 s with     7 of"
            "    19 common hashes at rank  0')",
            "    say(f'NOMATCH: {files[1]} 0.8 sec 53 raw hashes')",
        ],
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    steps = []

    system = Audfprint(tmp_path)
    system.ingest({"a": "/my songs/a.wav", "b": "/my songs/b.wav"}, lambda lines, total: steps.extend(lines) or steps)
    answers = system.ask(["a clip.wav", "other.wav"])

    assert len(steps) == 2
    assert answers == {"a clip.wav": Answer(song="b", offset_ms=54_500, score=7)}
    assert system.index_bytes() == 5
    with pytest.raises(subprocess.CalledProcessError):
        system.ask(["broken.wav"])


def test_landmarks_find_song_and_place_when_a_noisy_cut_is_asked(tmp_path):
    rng = np.random.default_rng(5)
    songs = {name: tmp_path / f"{name}.wav" for name in "abc"}
    for seed, path in enumerate(songs.values()):
        soundfile.write(path, melody(seed), RATE)
    cut = melody(1)[3 * RATE + 77 : 6 * RATE]
    soundfile.write(tmp_path / "cut.wav", cut + rng.normal(0, 0.02, cut.size), RATE)
    soundfile.write(tmp_path / "silence.wav", np.zeros(2 * RATE), RATE)

    system = Landmarks(LIMITS)
    system.ingest(songs, unwatched)
    answers = system.ask([str(tmp_path / "cut.wav"), str(tmp_path / "silence.wav")])

    found = answers[str(tmp_path / "cut.wav")]
    assert found.song == "b"
    assert abs(found.offset_ms - 3005) < 64
    assert answers[str(tmp_path / "silence.wav")] == Answer()
    assert system.index_bytes() == 8 * sum(hashes_of(melody(seed)).values.size for seed in range(3))


def test_landmarks_name_the_song_when_the_clip_begins_before_it(tmp_path):
    songs = {name: tmp_path / f"{name}.wav" for name in "ab"}
    for seed, path in enumerate(songs.values()):
        soundfile.write(path, melody(seed), RATE)
    clip = np.concatenate([np.zeros(RATE, np.float32), melody(1)[: 2 * RATE]])
    soundfile.write(tmp_path / "clip.wav", clip, RATE)

    system = Landmarks(LIMITS)
    system.ingest(songs, unwatched)
    found = system.ask([str(tmp_path / "clip.wav")])[str(tmp_path / "clip.wav")]

    assert found.song == "b"
    assert abs(found.offset_ms + 1000) < 64


def test_missing_programs_are_said_and_left_out_when_they_are_not_on_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = []

    found = list(compare_peers.systems(tmp_path, LIMITS, say=said.append))

    assert [system.name for system in found] == ["Sonica", "Landmarks"]
    assert ["libchromaprint-tools" in line for line in said] == [True, False, False]
    assert all("audfprint2" in line for line in said[1:])
    with pytest.raises(NotInstalled, match="libchromaprint-tools"):
        Chromaprint()


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_cpu_of_a_server_counts_when_it_outlived_who_started_it(tmp_path):
    scripts = {
        "server": "import time\nwhile time.process_time() < 0.4: pass",
        "starter": "import subprocess, sys\nsubprocess.Popen([sys.executable, 'server'])",
        "asker": """
import os, subprocess, sys
from peers.system import adopt_orphans, cpu_seconds
adopt_orphans()
before = cpu_seconds()
subprocess.run([sys.executable, "starter"], check=True)
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
print(cpu_seconds() - before)
""",
    }
    for name, lines in scripts.items():
        (tmp_path / name).write_text(lines)
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path)

    done = subprocess.run(
        [sys.executable, "asker"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        check=True,
    )

    assert float(done.stdout) >= 0.4


def test_costs_leave_the_start_out_when_clips_are_asked_in_runs(monkeypatch):
    costs = measured(monkeypatch).costs

    assert costs.query_cpu_ms == pytest.approx(250)
    assert costs.ingest_speed == pytest.approx(7200 / 4)
    assert costs.index_mb_per_hour == pytest.approx(1.5)


def test_tables_hold_shares_and_costs_when_a_system_was_measured(monkeypatch):
    result = measured(monkeypatch)

    accuracy, costs = accuracy_sheet([result, result]), costs_sheet([result])

    assert accuracy.rows == [
        ["clean_5s", "4", "50.0 / 25.0", "50.0 / 25.0"],
        ["neg_5s", "2", "- / 0.0", "- / 0.0"],
        ["all of known songs", "4", "50.0 / 25.0", "50.0 / 25.0"],
    ]
    assert costs.to_markdown().splitlines()[-1] == "| Memory | 250.0 | 1,800 | 1.50 | knows |"


def test_published_numbers_have_a_source_and_conditions_when_shown():
    assert all(row.source and row.conditions and row.top1 for row in PUBLISHED)
    assert all(set(row.top1) <= set(LENGTHS) for row in PUBLISHED)
    assert all(list(row.top1.values()) == sorted(row.top1.values()) for row in PUBLISHED)
    assert all(len(row) == len(published_sheet().columns) for row in published_sheet().rows)


def test_songs_are_named_as_in_queries_when_a_corpus_is_read(tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("one.wav", "more/two.wav"):
        (tmp_path / name).touch()
    rows = [{"id": "1", "path": "one.wav", "role": "catalog"}, {"id": "2", "path": "more/two.wav", "role": "negative"}]
    (tmp_path / "tracks.json").write_text(json.dumps(rows))

    assert compare_peers.read_corpus(tmp_path / "tracks.json") == {"1": tmp_path / "one.wav"}
    assert set(compare_peers.read_corpus(tmp_path)) == {"one.wav", "more/two.wav"}


def test_command_prints_a_readme_and_writes_json_when_asked_to(tmp_path, monkeypatch, capsys):
    soundfile.write(tmp_path / "a.wav", melody(1), RATE)
    (tmp_path / "songs.json").write_text(json.dumps([{"id": "a", "path": "a.wav"}]))
    rows = [{"path": query.path, "cell": query.cell, "song": query.song, "offset_s": 1.0} for query in QUERIES]
    (tmp_path / "queries.json").write_text(json.dumps(rows))
    monkeypatch.setattr(compare_peers, "systems", lambda *_, **__: [Memory(ANSWERS)])
    monkeypatch.setattr(compare_peers, "adopt_orphans", lambda: None)

    compare_peers.compare(
        tmp_path / "songs.json", tmp_path / "queries.json", json_out=tmp_path / "out.json", markdown=True
    )

    assert "| clean_5s | 4 | 50.0 / 25.0 |" in capsys.readouterr().out
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["corpus"] == {"songs": 1, "hours": round(8 / 3600, 3), "queries": 6}
    assert document["systems"]["Memory"]["accuracy"]["cells"]["clean_5s"]["gated"]["count"] == 1
