"""Measures how often clips of no song in the catalogue are answered, beside the rate that was asked for.

Usage: measure_false_accepts.py CATALOGUE_FOLDER UNKNOWN_FOLDER... [--stretches 15000] [--json FILE]
Stretches of unknown music are degraded (scripts/degradation.py) and cut into clips of every length; as many clips again
of speech and as many of noise as one stretch in sixteen gives. Clips of a stretch overlap, and a stretch is degraded
anew whenever it is drawn: they are many, but not independent, which the intervals do not know.
Unknown music must not be what scripts/calibrate.py or scripts/train_embedding.py saw.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from degradation import KINDS, Studio, babble, background, degrade, unit
from measurement.fixed_catalogue import candidates_of, index_of
from measurement.scoring import Share
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sonica_fingerprint import extract
from sonica_fingerprint.calibration import CALIBRATION
from training.corpus import RATE, audio_files, read

from backend.recognition.verify import verify
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings

RATES = [0.0001, 0.001, 0.01]
CLIP_SECONDS = {1: 0.15, 2: 0.15, 3: 0.15, 5: 0.4, 10: 0.15}  # and how often each is drawn
STRETCH_SECONDS = 20
LEAD_SECONDS, HOP_SECONDS = 0.5, 1.25
NOISE_SHARE = 1 / 8  # of the stretches hold no music


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
    Bench.set_up(audio_files([arguments.catalogue]), audio_files(arguments.unknown), arguments.seed)
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        drawn = pool.map(Bench.draw, range(arguments.stretches), chunksize=16)
        outcomes = [each for some in track(drawn, "clips", total=arguments.stretches, console=console) for each in some]
    rows = summary(outcomes)
    Console().print(table(rows))
    if arguments.scores:
        arguments.scores.write_text("".join(json.dumps(asdict(each)) + "\n" for each in outcomes))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


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
        query = extract((0.1 * unit(clip)).clip(-1, 1).astype(np.float32))
        candidates = candidates_of(cls.index, query, limit=Settings().candidates_max)
        segments = cls.index.segments
        ranked = verify(query, candidates, false_accept_rate=max(RATES), catalogue_segments=segments).ranked
        enough = [CALIBRATION.score_min(seconds, false_accept_rate=rate, catalogue_segments=segments) for rate in RATES]
        return Outcome(seconds, kind, ranked[0].score if ranked else 0.0, tuple(enough))


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
