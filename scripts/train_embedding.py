"""Learns the embedding from music and writes wasm/kernel/weights.bin.

Usage: train_embedding.py CORPUS_FOLDER... --work FOLDER [--speech FOLDER] [--passes 4] [--steps 6500] [--seed 1]
Three steps, the first kept in the work folder and read again: pairs of moments, stored and heard through rooms, noise,
microphones, codecs and speeds (training/pairs.py); the linear map (training/discriminant.py); the network around it
(training/contrast.py), which hears other sounds mixed in and parts missing (training/perturbation.py). One track in
seven is held out, by its name, for the learning curve and for calibration, and is heard in other rooms with other
voices than the rest. The work folder then holds pairs/, held_out/, curve.csv, curve.png, and embedder.pt, the weights
before rounding.

Seeded: a second run sees the same batches; sums differ in their last bits with the BLAS and threads at hand, so the
weights differ, and accuracy by less than its own uncertainty.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from rich.console import Console
from training.contrast import Progressed, Schedule, train
from training.corpus import audio_files, held_out
from training.discriminant import discriminant
from training.network import Embedder
from training.pairs import Pairs, make
from training.weights_file import weights_file

OUTPUT = Path(__file__).parents[1] / "wasm" / "kernel" / "weights.bin"
PATCHES_FOR_SCALES = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, required=True, help="folder for pairs, learning curve and state")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--passes", type=int, default=4, help="how often each track is degraded anew")
    parser.add_argument("--steps", type=int, default=6500)
    parser.add_argument("--batch", type=int, default=512, help="pairs a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate at its highest")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes and threads")
    parser.add_argument("--speech", type=Path, help="recorded voices, as collect_music.py --role speech collects them")
    parser.add_argument("--from", dest="resumed", type=Path, help="go on from this embedder.pt")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.jobs)
    console = Console(stderr=True)
    tracks = audio_files(arguments.corpora)
    known = [path for path in tracks if not held_out(path)]
    others = [path for path in tracks if held_out(path)]
    console.print(f"{len(known)} tracks to learn from, {len(others)} held out")
    options = {"jobs": arguments.jobs, "console": console, "speech": arguments.speech}
    seed = arguments.seed
    pairs = _pairs(arguments.work / "pairs", known, options | {"passes": arguments.passes, "seed": seed})
    unseen = _pairs(arguments.work / "held_out", others, options | {"passes": 1, "seed": seed + 1000})
    console.print(f"{len(pairs.table)} pairs, {len(unseen.table)} of tracks held out")

    start = discriminant(pairs, arguments.seed, console)
    embedder = Embedder(*start)
    if arguments.resumed:
        embedder.load_state_dict(torch.load(arguments.resumed))
    schedule = Schedule(arguments.steps, arguments.batch, arguments.rate, arguments.seed)
    curve = train(embedder, pairs, unseen, schedule, arguments.work)
    plot(curve, arguments.work / "curve.png")
    sample = np.random.default_rng(arguments.seed).integers(0, len(pairs.table), PATCHES_FOR_SCALES)
    patches = np.concatenate(pairs.patches(np.sort(sample), np.zeros(len(sample), np.int64)))
    arguments.output.write_bytes(weights_file(embedder, patches))
    console.print(f"wrote {arguments.output}; now build the kernel, scripts/make_vectors.py, scripts/calibrate.py")


def _pairs(folder: Path, tracks: list[Path], options: dict[str, Any]) -> Pairs:
    return Pairs.load(folder) if (folder / "tracks.npy").exists() else make(folder, tracks, **options)


def plot(curve: list[Progressed], path: Path) -> None:
    """Draw the learning curve."""
    mpl.use("Agg")
    from matplotlib import pyplot

    steps = [row.step for row in curve]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(steps, [row.loss for row in curve])
    left.set(xlabel="step", ylabel="loss", title="training loss, mean of 200 steps")
    right.plot(steps, [100 * row.held_out_top1 for row in curve], label="top-1 among 4,000 moments")
    right.plot(steps, [100 * row.held_out_separated for row in curve], label="separated from other tracks at 1 %")
    right.set(xlabel="step", ylabel="%", title="moments of held-out tracks")
    right.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
