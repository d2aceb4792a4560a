"""Fits the score: degraded clips of held-out tracks against a catalogue, with and without their own song in it.

Usage: calibrate.py CORPUS_FOLDER [--queries 600] [--seed 3] [--output FILE]
A clip of a held-out track is a positive; a clip of any track, its own song taken away, a negative, and so are voices
and noise. Use the corpus that scripts/train_embedding.py learnt from, without its recordings of rain and crowds: noise
is like them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from degradation import KINDS, RATE, Studio, babble, background, change_speed, degrade, unit
from rich.console import Console
from rich.progress import track
from scipy import optimize
from sonica_fingerprint import Fingerprint, extract
from train_embedding import audio_files, held_out, read

from backend.models import CATALOGUE_THINNING, Change
from backend.recognition.alignment import align
from backend.recognition.calibration import Curve, Evidence, Threshold
from backend.recognition.verify import best_of_each_song, evidence_of, same_recording
from backend.search.faiss_index import FaissIndex

SECONDS = [1, 2, 3, 5, 10]
CANDIDATES = 48  # twice the product's, so that enough are left when a clip's own song is taken away
SHARED_SIMILARITY = 0.55  # a song that even the clean clip fits this well holds the same audio: not a wrong answer
RIDGE = 1e-5
FALSE_ACCEPT_RATES = [0.002, 0.005, 0.01, 0.02, 0.05]  # 0.002 of 1,600 wrong answers are three: no rarer ones are known


@dataclass(frozen=True)
class Sample:
    """A query's evidence and whether its first song was right."""

    evidence: Evidence
    right: bool


@dataclass(frozen=True)
class FixedCatalogue:
    """A change log over fingerprints; song n+1 is path n."""

    fingerprints: list[Fingerprint]

    async def name(self) -> str:
        """Return its only name."""
        return "calibration"

    async def revision(self) -> int:
        """Return the newest revision."""
        return len(self.fingerprints)

    async def changes(self, *, after_revision: int) -> AsyncIterator[Change]:
        """Yield one change a song."""
        for number in range(after_revision, len(self.fingerprints)):
            yield Change(number + 1, number + 1, self.fingerprints[number])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--queries", type=int, default=600, help="clips of each length")
    parser.add_argument("--seed", type=int, default=3)
    default = Path(__file__).parents[1] / "backend" / "recognition" / "calibration.json"
    parser.add_argument("--output", type=Path, default=default)
    parser.add_argument(
        "--samples", type=Path, help="folder that keeps what was drawn, a file a length, and is read again"
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=SECONDS, help="draw these only, and fit nothing")
    arguments = parser.parse_args()
    drawn = {seconds: stored(arguments.samples, seconds) for seconds in arguments.lengths}
    if missing := [seconds for seconds, samples in drawn.items() if not samples]:
        paths = audio_files(arguments.corpus)
        index, studio = build(paths), Studio.build(arguments.seed)
        for seconds in missing:
            rng = np.random.default_rng([arguments.seed, seconds])
            samples = draw(paths, index, studio, rng, seconds=seconds, count=arguments.queries)
            drawn[seconds] = [sample for sample in samples if sample is not None]
            store(arguments.samples, seconds, drawn[seconds])
    if arguments.lengths != SECONDS:
        return
    curves = [fit(seconds, samples) for seconds, samples in drawn.items()]
    for curve in curves:
        Console().print(report(curve, drawn[int(curve.seconds)]))
    note = "log odds of a right answer by clip length; fitted by scripts/calibrate.py"
    arguments.output.write_text(json.dumps({"note": note, "curves": [asdict(c) for c in curves]}, indent=1) + "\n")


def stored(folder: Path | None, seconds: int) -> list[Sample]:
    """Return the samples that an earlier run kept."""
    if folder is None or not (folder / f"{seconds}.json").exists():
        return []
    rows = json.loads((folder / f"{seconds}.json").read_text())
    return [Sample(Evidence(**row["evidence"]), row["right"]) for row in rows]


def store(folder: Path | None, seconds: int, samples: list[Sample]) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{seconds}.json").write_text(json.dumps([asdict(sample) for sample in samples]))


def build(paths: list[Path]) -> FaissIndex:
    """Index the whole corpus."""
    shown = track(paths, "catalogue", console=Console(stderr=True))
    prints = [extract(whole(path)).thinned(CATALOGUE_THINNING) for path in shown]
    return asyncio.run(FaissIndex.open(Path("unused"), FixedCatalogue(prints), search_depth=256, fresh=True))


def whole(path: Path) -> npt.NDArray[np.float32]:
    return read(path, 0, 3 * 3600).astype(np.float32)


def draw(
    paths: list[Path],
    index: FaissIndex,
    studio: Studio,
    rng: np.random.Generator,
    *,
    seconds: int,
    count: int,
) -> Iterator[Sample | None]:
    """Yield the samples of `count` clips: their song there, their song away, and every fourth time noise alone."""
    known = [number for number, path in enumerate(paths) if held_out(path)]
    for turn in track(range(count), f"{seconds} s", console=Console(stderr=True)):
        for present in (True, False):
            number = int(rng.choice(known if present else len(paths)))
            clips = cut(paths[number], studio, rng, seconds)
            if clips is None or in_another_song(clips[0], index, number + 1):
                continue
            query = fingerprint(clips[1])
            yield judge(query, index, right=number + 1 if present else None, without=None if present else number + 1)
        if turn % 4 == 0:
            length = seconds * RATE
            noise = background(length, rng, studio) if turn % 8 else babble(length, rng, studio, 1)
            yield judge(fingerprint(noise), index, right=None)


def cut(
    path: Path, studio: Studio, rng: np.random.Generator, seconds: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Return a clip, clean and degraded with half a second of past, or nothing where the track is silent."""
    lead = 0.5
    latest = soundfile.info(path).duration - seconds * 1.1 - 2
    if latest < 1:
        return None
    clean = read(path, rng.uniform(0.5, latest), seconds * 1.1 + 1)
    if np.sqrt(np.mean(clean**2)) < 0.005:
        return None
    played = change_speed(clean, rng.uniform(0.96, 1.04)) if rng.random() < 0.2 else clean
    kind = str(rng.choice([*["mic"] * 8, *KINDS]))
    heard = degrade(played, kind, rng, studio)[int(lead * RATE) :]
    return (clean, heard[: seconds * RATE]) if heard.size >= seconds * RATE else None


def in_another_song(clean: npt.NDArray[np.float64], index: FaissIndex, song_id: int) -> bool:
    """Say whether the clean clip also fits another song: a version, a loop from the same library."""
    query = fingerprint(clean)
    candidates = asyncio.run(index.search(query, limit=CANDIDATES))
    others = align(query, [candidate for candidate in candidates if candidate.song_id != song_id])
    return bool(others) and others[0].similarity > SHARED_SIMILARITY


def fingerprint(clip: npt.NDArray[np.float64]) -> Fingerprint:
    return extract((0.1 * unit(clip)).clip(-1, 1).astype(np.float32))


def judge(query: Fingerprint, index: FaissIndex, *, right: int | None, without: int | None = None) -> Sample | None:
    """Search and verify as the recognizer does, with one song taken away."""
    candidates = asyncio.run(index.search(query, limit=CANDIDATES))
    kept = [candidate for candidate in candidates if candidate.song_id != without][: CANDIDATES // 2]
    best = best_of_each_song(align(query, kept))
    if not best:
        return None
    shared = [best[0], *(other for other in best[1:] if same_recording(best[0], other))]
    rival = next((other.similarity for other in best if other not in shared), 0.0)
    is_right = any(alignment.candidate.song_id == right for alignment in shared)
    return Sample(evidence_of(query, best[0], rival), right=is_right)


def fit(seconds: int, samples: list[Sample]) -> Curve:
    """Maximise the likelihood, with a touch of ridge; more evidence must never lower the score."""
    inputs = np.array(
        [[1, sample.evidence.similarity, sample.evidence.margin, sample.evidence.sharpness] for sample in samples]
    )
    signs = np.array([1.0 if sample.right else -1.0 for sample in samples])

    def loss(weights: npt.NDArray[np.float64]) -> float:
        return float(np.logaddexp(0, -signs * (inputs @ weights)).mean() + RIDGE * (weights**2).sum())

    bounds = [(None, None), (0, None), (0, None), (0, None)]
    found = optimize.minimize(loss, np.zeros(4), method="L-BFGS-B", bounds=bounds).x
    curve = Curve(seconds, found[0], found[1], found[2], found[3], thresholds=())
    wrong = scores(curve, [sample for sample in samples if not sample.right])
    thresholds = tuple(Threshold(rate, float(np.quantile(wrong, 1 - rate))) for rate in FALSE_ACCEPT_RATES)
    return replace(curve, thresholds=thresholds)


def scores(curve: Curve, samples: list[Sample]) -> npt.NDArray[np.float64]:
    """Return the probabilities that the curve gives."""
    return 1 / (1 + np.exp(-np.array([curve.log_odds(sample.evidence) for sample in samples])))


def report(curve: Curve, samples: list[Sample]) -> str:
    """Say how far the curve separates."""
    right = scores(curve, [sample for sample in samples if sample.right])
    rows = (f"{t.false_accept_rate:.1%}: {t.score:.2f}, {np.mean(right >= t.score):.1%}" for t in curve.thresholds)
    return f"{curve.seconds:>2} s, {len(right)} of {len(samples)} right; rate: threshold, accepted: {'; '.join(rows)}"


if __name__ == "__main__":
    main()
