"""Contrastive learning: the same moment of a song, stored and heard, near each other, everything else far.

Two losses in equal parts. NT-Xent (Chen et al. 2020) between what is heard and what is stored, averaged over prefixes
of the embedding (Kusupati et al. 2022), ranks the right moment first. The pairwise sigmoid loss (Zhai et al. 2023) asks
for one threshold that parts right from wrong over all queries, which is what lets an answer be accepted: NT-Xent alone
improves the rank and loses separation. Both have a memory of stored embeddings of earlier batches (cross-batch memory,
Wang et al. 2020).
"""

from __future__ import annotations

import csv
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import Progress, TextColumn
from torch.nn import functional

from training.network import Embedder
from training.pairs import Pairs
from training.perturbation import perturb

TEMPERATURE = 0.06
PREFIXES = (64, 128)  # the compact index keeps the first
MEMORY = 4096
SAME_AUDIO = 0.8  # stored moments so alike are repetitions: not each other's wrong answer
NEAR_FRAMES = 13  # within .4 s of a track, patches overlap by more than half
PAIRS_A_TRACK = 4
NEAR_JITTER, FAR_JITTER = 2, 8  # frames: what search along a clip leaves, and what a clip of one segment may have
FAR_SHARE = 0.1
SIGMOID_SCALE, SIGMOID_BIAS = 14.0, -7.0  # at the start: a cosine of one half is undecided
SIGMOID_RATE = 1.0  # times the learning rate: where the scale runs off, only the hardest pairs are still heard
WEIGHT_DECAY = 0.01
LINEAR_RATE = 0.01  # of the learning rate: the linear part starts where it should be, and its weights are small
WARM_UP_STEPS = 100


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch: int
    rate: float
    seed: int


@dataclass(frozen=True)
class Progressed:
    """A row of the learning curve; shares are of held-out moments."""

    step: int
    seconds: float
    loss: float
    held_out_top1: float  # the heard moment's nearest stored one is its own, among all stored
    held_out_separated: float  # its own is nearer than the nearest wrong one of 99 % of heard moments


def train(embedder: Embedder, pairs: Pairs, held_out: Pairs, schedule: Schedule, folder: Path) -> list[Progressed]:
    """Train in place; write the learning curve and the last state to the folder as they come."""
    torch.manual_seed(schedule.seed)
    rng = np.random.default_rng([schedule.seed, 2])
    linear = list(embedder.linear.parameters())
    rest = [parameter for name, parameter in embedder.named_parameters() if not name.startswith("linear.")]
    undecided = torch.nn.Parameter(torch.tensor([SIGMOID_SCALE, SIGMOID_BIAS]))
    optimizer = torch.optim.AdamW(
        [
            {"params": linear, "lr": schedule.rate * LINEAR_RATE},
            {"params": rest, "lr": schedule.rate},
            {"params": [undecided], "lr": schedule.rate * SIGMOID_RATE, "weight_decay": 0.0},
        ],
        weight_decay=WEIGHT_DECAY,
    )
    schedules = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, schedule.steps))
    embedder.to(memory_format=torch.channels_last)  # three times as fast on a CPU
    batches, memory = Batches(pairs, rng, schedule.batch), Memory()
    curve, losses, started = [], [], time.monotonic()
    console = Console(stderr=True)
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[said]}"), console=console) as bar:
        task = bar.add_task("network", total=schedule.steps, said="")
        for step in range(schedule.steps + 1):
            if step % max(1, schedule.steps // 20) == 0:
                top1, separated = assess(embedder, held_out, schedule.seed)
                loss_now = float(np.mean(losses[-200:])) if losses else math.nan
                curve.append(Progressed(step, time.monotonic() - started, loss_now, top1, separated))
                _keep(folder, curve, embedder)
                console.print(f"step {step}: loss {loss_now:.3f}, top-1 {top1:.1%}, separated {separated:.1%}")
            if step == schedule.steps:
                return curve
            losses.append(_learn(embedder, undecided, batches.next(), memory, optimizer))
            schedules.step()
            bar.update(task, advance=1, said=f"loss {losses[-1]:.3f}")
    return curve


def _learn(
    embedder: Embedder,
    undecided: torch.nn.Parameter,
    batch: Batch,
    memory: Memory,
    optimizer: torch.optim.Optimizer,
) -> float:
    embedder.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embedded = embedder(torch.from_numpy(np.concatenate([batch.clean, batch.heard])))
    stored, heard = embedded.float().chunk(2)
    loss = contrast(heard, stored, undecided, batch, memory)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(embedder.parameters(), 1.0)
    optimizer.step()
    memory.add(stored.detach(), batch.tracks)
    return loss.item()


@dataclass(frozen=True)
class Batch:
    """Pairs of patches, (n, SEGMENT_FRAMES, BANDS) each, their tracks and first rows."""

    clean: npt.NDArray[np.float32]
    heard: npt.NDArray[np.float32]
    tracks: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]


class Batches:
    """Draws a few moments of many tracks; long tracks come more often."""

    def __init__(self, pairs: Pairs, rng: np.random.Generator, size: int) -> None:
        self._pairs, self._rng, self._size = pairs, rng, size
        self._by_track = np.argsort(pairs.table["track"], kind="stable")
        counts = np.bincount(pairs.table["track"], minlength=len(pairs.track_rows) - 1)
        self._first, self._counts = np.concatenate([[0], np.cumsum(counts)[:-1]]), counts
        self._weights = np.sqrt(counts) / np.sqrt(counts).sum()

    def next(self) -> Batch:
        """Return the next batch."""
        rng = self._rng
        tracks = np.repeat(rng.choice(len(self._counts), self._size // PAIRS_A_TRACK, p=self._weights), PAIRS_A_TRACK)
        within = (rng.random(len(tracks)) * self._counts[tracks]).astype(np.int64)
        chosen = self._by_track[self._first[tracks] + within]
        reach = np.where(rng.random(len(chosen)) < FAR_SHARE, FAR_JITTER, NEAR_JITTER)
        clean, heard = self._pairs.patches(chosen, rng.integers(-reach, reach + 1))
        table = self._pairs.table[chosen]
        return Batch(clean, perturb(heard, rng), table["track"], table["clean"])


class Memory:
    """The stored embeddings of the last batches, as further wrong answers."""

    def __init__(self) -> None:
        self.embeddings = torch.zeros(0, PREFIXES[-1])
        self.tracks = np.zeros(0, np.int32)

    def add(self, embeddings: torch.Tensor, tracks: npt.NDArray[np.int32]) -> None:
        """Take a batch in, and let the oldest go."""
        self.embeddings = torch.cat([self.embeddings, embeddings])[-MEMORY:]
        self.tracks = np.concatenate([self.tracks, tracks])[-MEMORY:]


def contrast(
    heard: torch.Tensor, stored: torch.Tensor, undecided: torch.Tensor, batch: Batch, memory: Memory
) -> torch.Tensor:
    """Return the loss of a batch; `undecided` holds the sigmoid loss's scale and bias."""
    same = torch.eye(len(heard), dtype=torch.bool)
    near = torch.from_numpy(
        (batch.tracks[:, None] == batch.tracks) & (np.abs(batch.rows[:, None] - batch.rows) < NEAR_FRAMES)
    )
    with torch.no_grad():
        alike = _cosines(stored, stored) > SAME_AUDIO
    remembered = torch.from_numpy(batch.tracks[:, None] == memory.tracks)
    skip = torch.cat([(near | alike) & ~same, remembered], dim=1)
    against = torch.cat([stored, memory.embeddings])
    own, within = torch.arange(len(heard)), skip[:, : len(heard)]
    ranked = heard.new_zeros(())
    for prefix in PREFIXES:
        cosines = _cosines(heard[:, :prefix], against[:, :prefix])
        ranked = ranked + functional.cross_entropy((cosines / TEMPERATURE).masked_fill(skip, -1e4), own)
        back = (cosines[:, : len(heard)] / TEMPERATURE).T.masked_fill(within, -1e4)
        ranked = ranked + functional.cross_entropy(back, own)
    logits = (cosines * undecided[0] + undecided[1]).masked_fill(skip, -1e4)
    wanted = functional.pad(same.float(), (0, len(memory.embeddings)))
    parted = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / len(heard)
    return ranked / (4 * len(PREFIXES)) + parted / 2


def assess(embedder: Embedder, pairs: Pairs, seed: int, count: int = 4000) -> tuple[float, float]:
    """Return top-1 and separation of held-out moments: each heard one against all the stored ones drawn with it."""
    rng = np.random.default_rng([seed, 3])
    chosen = np.sort(rng.permutation(len(pairs.table))[:count])
    clean, heard = pairs.patches(chosen, rng.integers(-NEAR_JITTER, NEAR_JITTER + 1, size=len(chosen)))
    table = pairs.table[chosen]
    embedder.eval()
    with torch.no_grad():
        stored, asked = (
            torch.cat([embedder(torch.from_numpy(part)) for part in np.array_split(side, 16)])
            for side in (clean, heard)
        )
        cosines = _cosines(asked, stored).numpy()
        alike = (_cosines(stored, stored) > SAME_AUDIO).numpy()
    near = (table["track"][:, None] == table["track"]) & (
        np.abs(table["clean"][:, None] - table["clean"]) < NEAR_FRAMES
    )
    own = np.diag(cosines).copy()
    cosines[near | alike] = -1
    other_track = np.where(table["track"][:, None] == table["track"], -1, cosines).max(axis=1)
    return float((own > cosines.max(axis=1)).mean()), float((own > np.quantile(other_track, 0.99)).mean())


def _cosines(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T


def _rate(step: int, steps: int) -> float:
    return min((step + 1) / WARM_UP_STEPS, 1) * 0.5 * (1 + math.cos(math.pi * min(1, step / steps)))


def _keep(folder: Path, curve: list[Progressed], embedder: Embedder) -> None:
    with (folder / "curve.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(curve[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in curve)
    torch.save(embedder.state_dict(), folder / "embedder.pt")
