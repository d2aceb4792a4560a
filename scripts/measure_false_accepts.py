"""Measures how often clips of no song in the catalogue are answered, beside the rate that was asked for.

Usage: measure_false_accepts.py CATALOGUE_FOLDER UNKNOWN_FOLDER... [--stretches 15000] [--json FILE]
Stretches of unknown music are degraded (scripts/degradation.py) and cut into clips of every length; as many clips again
of speech and as many of noise as one stretch in sixteen gives. Clips of a stretch overlap, and a stretch is degraded
anew whenever it is drawn: they are many, but not independent, which the intervals do not know.
Unknown music must not be what scripts/calibrate.py or scripts/train_embedding.py saw. Tracks that hold a piece of the
catalogue, as another game's copy of the same piece does, are left out and named: where three clean cuts in a row lie in
one song, as far apart there as here. With --scores a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from degradation import KINDS, Studio, babble, background, degrade, unit
from measurement.fixed_catalogue import SONG_SECONDS_MAX, index_of
from measurement.scoring import Share
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sonica_fingerprint import extract
from sonica_fingerprint.calibration import CALIBRATION
from training.corpus import RATE, audio_files, read

from backend.models import Verdict
from backend.recognition.verify import verify
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings

RATES = [0.0001, 0.001, 0.01]
CLIP_SECONDS = {1: 0.15, 2: 0.15, 3: 0.15, 5: 0.4, 10: 0.15}  # and how often each is drawn
STRETCH_SECONDS = 20
LEAD_SECONDS, HOP_SECONDS = 0.5, 1.25
NOISE_SHARE = 1 / 8  # of the stretches hold no music
CUT_SECONDS, SHARED_CUTS = 10, 3  # so many cuts in a row of one song, as far apart there as here, are no accident
SHARED_MS_MAX = 300  # how far a place may be off
CHUNK = 16  # stretches a process takes at a time


@dataclass(frozen=True)
class Outcome:
    """A clip's length and origin, the best song's score, and what each rate asks for."""

    seconds: int
    kind: str
    score: float
    enough: tuple[float, ...]  # by RATES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("unknown", type=Path, nargs="+")
    parser.add_argument("--stretches", type=int, default=8000, help="some thirteen clips each")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the table here too")
    parser.add_argument("--scores", type=Path, help="write every clip's score here")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    tracks = audio_files(arguments.unknown)
    Bench.set_up(audio_files([arguments.catalogue]), tracks, arguments.seed)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        shared = list(track(pool.map(Bench.shares_audio, tracks), "tracks", total=len(tracks), console=console))
    Bench.unknown = [path for path, is_shared in zip(tracks, shared, strict=True) if not is_shared]
    for path in sorted(set(tracks) - set(Bench.unknown)):
        console.print(f"left out, for the catalogue holds a piece of it: {path.name}")
    done = stored(arguments.scores) if arguments.scores else {}
    missing = [turn for turn in range(arguments.stretches) if turn not in done]
    with ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        drawn = zip(missing, pool.map(Bench.draw, missing, chunksize=CHUNK), strict=True)
        for turn, outcomes in track(drawn, "stretches", total=len(missing), console=console):
            done[turn] = outcomes
            if arguments.scores:
                with arguments.scores.open("a") as file:
                    file.write(json.dumps({"turn": turn, "outcomes": [asdict(each) for each in outcomes]}) + "\n")
    rows = summary([outcome for turn in range(arguments.stretches) for outcome in done[turn]])
    Console().print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def stored(path: Path) -> dict[int, list[Outcome]]:
    """Return by stretch what an earlier run wrote; a last line that was cut short is drawn again."""
    done: dict[int, list[Outcome]] = {}
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    for line in lines:
        if line.endswith("\n"):
            row = json.loads(line)
            done[row["turn"]] = [Outcome(**{**each, "enough": tuple(each["enough"])}) for each in row["outcomes"]]
    if lines and not lines[-1].endswith("\n"):
        path.write_text("".join(lines[:-1]))
    return done


class Bench:
    """What the processes of the pool share."""

    index: FaissIndex
    unknown: list[Path]
    studio: Studio
    seed: int

    @classmethod
    def set_up(cls, catalogue: list[Path], unknown: list[Path], seed: int) -> None:
        """Index the catalogue; called once, before the processes fork."""
        cls.index, cls.unknown, cls.seed = index_of(catalogue), unknown, seed
        cls.studio = Studio.build(seed)

    @classmethod
    def shares_audio(cls, path: Path) -> bool:
        """Say whether the track holds a piece of the catalogue."""
        places = list(cls._places(path))
        runs = zip(*(places[n:] for n in range(SHARED_CUTS)), strict=False)
        return any(
            len({song for song, _ in run}) == 1
            and all(abs(ms - run[0][1] - 1000 * CUT_SECONDS * n) <= SHARED_MS_MAX for n, (_, ms) in enumerate(run))
            for run in runs
        )

    @classmethod
    def _places(cls, path: Path) -> Iterator[tuple[int, int]]:
        """Yield the likeliest song and the offset in it, in ms, of each clean cut of a track."""
        samples = read(path, 0, SONG_SECONDS_MAX)
        for start in range(0, samples.size - CUT_SECONDS * RATE, CUT_SECONDS * RATE):
            ranked = cls._verdict(samples[start : start + CUT_SECONDS * RATE]).ranked
            yield (ranked[0].song_id, ranked[0].offset_ms) if ranked else (-start - 1, 0)

    @classmethod
    def draw(cls, turn: int) -> list[Outcome]:
        """Return the outcomes of one stretch's clips."""
        rng = np.random.default_rng([cls.seed, turn])
        kind, heard = cls._stretch(rng)
        seconds = int(rng.choice(list(CLIP_SECONDS), p=list(CLIP_SECONDS.values())))
        starts = np.arange(LEAD_SECONDS, heard.size / RATE - seconds, HOP_SECONDS)
        clips = [heard[int(start * RATE) : int((start + seconds) * RATE)] for start in starts]
        return [cls._ask(clip, seconds, kind) for clip in clips]

    @classmethod
    def _stretch(cls, rng: np.random.Generator) -> tuple[str, npt.NDArray[np.float64]]:
        length = (STRETCH_SECONDS + 1) * RATE
        if rng.random() < NOISE_SHARE:
            if rng.random() < 0.5:
                return "speech", babble(length, rng, cls.studio, int(rng.integers(1, 4)))
            return "noise", background(length, rng, cls.studio)
        path = cls.unknown[int(rng.integers(len(cls.unknown)))]
        start = rng.uniform(0, soundfile.info(path).duration - STRETCH_SECONDS - 1)
        kind = str(rng.choice([*["mic"] * 8, *KINDS]))
        return "music", degrade(read(path, start, STRETCH_SECONDS + 1), kind, rng, cls.studio)

    @classmethod
    def _ask(cls, clip: npt.NDArray[np.float64], seconds: int, kind: str) -> Outcome:
        ranked, segments = cls._verdict(clip).ranked, cls.index.segments
        enough = [CALIBRATION.score_min(seconds, false_accept_rate=rate, catalogue_segments=segments) for rate in RATES]
        return Outcome(seconds, kind, ranked[0].score if ranked else 0.0, tuple(enough))

    @classmethod
    def _verdict(cls, clip: npt.NDArray[np.float64]) -> Verdict:
        query = extract((0.1 * unit(clip)).clip(-1, 1).astype(np.float32))
        candidates = cls.index.search(query, limit=Settings().candidates_max)
        return verify(query, candidates, false_accept_rate=max(RATES), catalogue_segments=cls.index.segments)


def summary(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Return a row for each kind and length, and for all: clips, and the share accepted at each rate."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        for name in (f"music {outcome.seconds:>2} s" if outcome.kind == "music" else outcome.kind, "~all"):
            groups[name].append(outcome)
    rows: list[dict[str, Any]] = []
    for name, group in sorted(groups.items()):
        shares = [
            Share(sum(outcome.score >= outcome.enough[n] for outcome in group), len(group)) for n in range(len(RATES))
        ]
        accepted = {
            f"{rate:g}": [share.count, share.value, *share.interval] for rate, share in zip(RATES, shares, strict=True)
        }
        rows.append({"clips": name.lstrip("~"), "count": len(group), "accepted": accepted})
    return rows


def table(rows: list[dict[str, Any]]) -> Table:
    """Show them."""
    shown = Table("clips", "count", title="False accepts, per cent, by the rate asked for", box=None)
    for rate in RATES:
        shown.add_column(f"asked {rate:.2%}", justify="right")
    for row in rows:
        shares = row["accepted"].values()
        cells = [f"{100 * share:.3f} ({100 * low:.3f}-{100 * high:.3f})" for _, share, low, high in shares]
        shown.add_row(str(row["clips"]), str(row["count"]), *cells)
    return shown


if __name__ == "__main__":
    main()
