"""Fits the score: degraded clips of held-out tracks against a catalogue, with and without their own song in it.

Usage: calibrate.py CORPUS_FOLDER... [--clips 4000] [--seed 3] [--samples FOLDER] [--output FILE]
Every clip is judged twice: with its own song in the catalogue, and with that song taken away; voices and noise are
judged too. Use the corpora that scripts/train_embedding.py learnt from, without recordings of rain and crowds: noise is
like them. Thresholds rarer than one in a hundred follow the exponential tail of the wrong answers beyond that.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from degradation import KINDS, Studio, babble, background, change_speed, degrade, unit
from measurement.fixed_catalogue import index_of
from rich.console import Console
from rich.progress import track
from scipy import optimize
from sonica_fingerprint import Fingerprint, extract
from sonica_fingerprint.calibration import Curve, Evidence, Threshold
from training.corpus import RATE, audio_files, held_out, read

from backend.models import Candidate
from backend.recognition.alignment import align
from backend.recognition.verify import best_of_each_song, evidence_of, same_recording
from backend.search.faiss_index import FaissIndex

SECONDS = [1, 2, 3, 5, 10]
LEAD_SECONDS = 0.5  # of the song before the first clip, for the room to fill
STRETCH_SECONDS = 20
CLIPS_A_STRETCH = 6
SPEECH_SHARE = 1 / 3  # of the noise; motors and fans, which fit drones, are among the rest
ROOMS = 200
CANDIDATES = 48  # twice the product's, so that enough are left when a clip's own song is taken away
SHARED_SIMILARITY = 0.55  # a song that even the clean clip fits this well holds the same audio: not a wrong answer
SUSPECT_SIMILARITY = 0.25  # a wrong song that fits less well needs no such look
RIDGE = 1e-5
FALSE_ACCEPT_RATES = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2]
TAIL_RATE = 0.01  # where the exponential tail begins


@dataclass(frozen=True)
class Sample:
    """A query's evidence and whether its first song was right."""

    evidence: Evidence
    right: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--clips", type=int, default=4000, help="of each length")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--speech", type=Path, help="recorded voices, as collect_music.py --role speech collects them")
    default = Path(__file__).parents[1] / "wasm" / "sonica_fingerprint" / "calibration.json"
    parser.add_argument("--output", type=Path, default=default)
    parser.add_argument("--samples", type=Path, required=True, help="keeps what is drawn, and is read again")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    if missing := [seconds for seconds in SECONDS if not (arguments.samples / f"{seconds}.json").exists()]:
        Bench.set_up(audio_files(arguments.corpora), arguments.seed, arguments.speech)
        store(arguments.samples, "catalogue", Bench.index.segments)
        with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("fork")) as pool:
            for seconds in missing:
                turns = range(-(-arguments.clips // clips_of(seconds)))
                drawn = pool.map(Bench.draw, turns, [seconds] * len(turns), chunksize=8)
                shown = track(drawn, f"{seconds} s", total=len(turns), console=console)
                store(arguments.samples, seconds, [asdict(sample) for samples in shown for sample in samples])
    drawn_by_length = {seconds: stored(arguments.samples, seconds) for seconds in SECONDS}
    curves = [fit(seconds, samples) for seconds, samples in drawn_by_length.items()]
    for curve in curves:
        console.print(report(curve, drawn_by_length[int(curve.seconds)]))
    document = {
        "note": "log odds of a right answer by clip length; fitted by scripts/calibrate.py",
        "catalogue_segments": json.loads((arguments.samples / "catalogue.json").read_text()),
        "curves": [asdict(curve) for curve in curves],
    }
    arguments.output.write_text(json.dumps(document, indent=1) + "\n")


def stored(folder: Path, seconds: int) -> list[Sample]:
    rows = json.loads((folder / f"{seconds}.json").read_text())
    return [Sample(Evidence(**row["evidence"]), row["right"]) for row in rows]


def store(folder: Path, name: int | str, document: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(document))


def clips_of(seconds: int) -> int:
    """Return how many clips of this length a stretch is cut into."""
    return min(CLIPS_A_STRETCH, STRETCH_SECONDS // seconds)


class Bench:
    """What the processes of the pool share: the catalogue's index, and the studio."""

    paths: list[Path]
    known: list[int]
    index: FaissIndex
    studio: Studio
    seed: int

    @classmethod
    def set_up(cls, paths: list[Path], seed: int, speech: Path | None) -> None:
        """Index the whole corpus; called once, before the processes fork."""
        cls.index = index_of(paths)
        cls.paths, cls.seed, cls.studio = paths, seed, Studio.build(seed, rooms=ROOMS, speech=speech)
        cls.known = [number for number, path in enumerate(paths) if held_out(path)]

    @classmethod
    def draw(cls, turn: int, seconds: int) -> list[Sample]:
        """Return the samples of one stretch's clips, and half as many of noise alone."""
        rng = np.random.default_rng([cls.seed, seconds, turn])
        number = int(rng.choice(cls.known))
        samples = []
        for clean, heard in cut(cls.paths[number], cls.studio, rng, seconds):
            samples += cls.judge_twice(fingerprint(heard), fingerprint(clean), number + 1)
        length = seconds * RATE
        for _ in range(max(1, clips_of(seconds) // 2)):
            talks = rng.random() < SPEECH_SHARE
            noise = babble(length, rng, cls.studio, 1) if talks else background(length, rng, cls.studio)
            samples.append(judge(fingerprint(noise), cls.search(fingerprint(noise)), right=None))
        return [sample for sample in samples if sample is not None]

    @classmethod
    def judge_twice(cls, query: Fingerprint, clean: Fingerprint, song_id: int) -> list[Sample | None]:
        """Judge a clip with its song in the catalogue, and without."""
        candidates = cls.search(query)
        others = [candidate for candidate in candidates if candidate.song_id != song_id][: CANDIDATES // 2]
        wrong = judge(query, others, right=None)
        if wrong is not None and wrong.evidence.similarity > SUSPECT_SIMILARITY and cls.in_another_song(clean, song_id):
            return []
        return [judge(query, candidates[: CANDIDATES // 2], right=song_id), wrong]

    @classmethod
    def in_another_song(cls, clean: Fingerprint, song_id: int) -> bool:
        """Say whether the clean clip also fits another song: a version, a loop from the same library."""
        others = align(clean, [candidate for candidate in cls.search(clean) if candidate.song_id != song_id])
        return bool(others) and others[0].similarity > SHARED_SIMILARITY

    @classmethod
    def search(cls, query: Fingerprint) -> list[Candidate]:
        """Search as the recognizer does."""
        return cls.index.search(query, limit=CANDIDATES)


def cut(
    path: Path, studio: Studio, rng: np.random.Generator, seconds: int
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Yield clips of a stretch, clean and degraded; none where the track is silent."""
    latest = soundfile.info(path).duration - STRETCH_SECONDS - 1
    clean = read(path, rng.uniform(0, latest), STRETCH_SECONDS + 1)
    played, factor = clean, 1.0
    if rng.random() < 0.2:
        factor = rng.uniform(0.94, 1.06)
        played = change_speed(clean, factor)
    kind = str(rng.choice([*["mic"] * 8, *KINDS]))
    heard = degrade(played, kind, rng, studio)
    for start in LEAD_SECONDS + rng.permutation(STRETCH_SECONDS // seconds)[: clips_of(seconds)] * float(seconds):
        clip = heard[int(start * RATE) : int((start + seconds) * RATE)]
        original = clean[int(start * factor * RATE) : int((start + seconds) * factor * RATE)]
        if clip.size == seconds * RATE and original.size >= RATE and np.sqrt(np.mean(original**2)) > 0.005:
            yield original, clip


def fingerprint(clip: npt.NDArray[np.float64]) -> Fingerprint:
    return extract((0.1 * unit(clip)).clip(-1, 1).astype(np.float32))


def judge(query: Fingerprint, candidates: list[Candidate], *, right: int | None) -> Sample | None:
    """Verify as the recognizer does."""
    best = best_of_each_song(align(query, candidates))
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
    wrong = log_odds(curve, [sample for sample in samples if not sample.right])
    return replace(curve, thresholds=tuple(Threshold(rate, threshold(wrong, rate)) for rate in FALSE_ACCEPT_RATES))


def threshold(wrong: npt.NDArray[np.float64], rate: float) -> float:
    """Return the log odds that this share of the wrong answers exceeds, rare ones by the tail's mean excess."""
    if rate >= TAIL_RATE:
        return float(np.quantile(wrong, 1 - rate))
    start = float(np.quantile(wrong, 1 - TAIL_RATE))
    return start + float((wrong[wrong > start] - start).mean()) * float(np.log(TAIL_RATE / rate))


def log_odds(curve: Curve, samples: list[Sample]) -> npt.NDArray[np.float64]:
    return np.array([curve.log_odds(sample.evidence) for sample in samples])


def report(curve: Curve, samples: list[Sample]) -> str:
    """Say how far the curve separates."""
    right = log_odds(curve, [sample for sample in samples if sample.right])
    rows = (
        f"{each.false_accept_rate:.2%}: {each.log_odds:.2f}, {np.mean(right >= each.log_odds):.1%}"
        for each in curve.thresholds
    )
    return f"{curve.seconds:>2} s, {len(right)} of {len(samples)} right; rate: threshold, accepted: {'; '.join(rows)}"


if __name__ == "__main__":
    main()
