"""Adds the linear start back to what training made of it.

Training fits the noise that it hears; the linear map, fitted on moments alone, keeps its hold in noise of other kinds.
The map's outputs are turned into the trained space (orthogonal Procrustes, Schoenemann 1966) and added: their errors
differ, so the sum is better than either, and costs nothing, for the trained network has a linear part to add it to.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from training.network import Embedder

GATE = 0.8  # of the trained trunk
SHARE = 0.9  # of the start, relative to the mean length of the trained embeddings
Array = npt.NDArray[np.float32]


def blend(embedder: Embedder, linear: Array, mean: Array, patches: Array) -> None:
    """Change the embedder in place.

    linear, mean: the start, (DIMENSIONS, PATCH) and (PATCH,). patches: (n, SEGMENT_FRAMES, BANDS), some thousands.
    """
    embedder.eval()
    start = (patches.reshape(len(patches), -1) - mean) @ linear.T
    with torch.no_grad():
        embedder.gate.mul_(GATE)
        parts = np.array_split(patches, max(1, len(patches) // 512))
        trained = np.concatenate([embedder(torch.from_numpy(part)).numpy() for part in parts])
        left, _, right = np.linalg.svd(_units(trained).T @ _units(start))
        lengths = np.linalg.norm(trained, axis=1).mean() / np.linalg.norm(start, axis=1).mean()
        added = (SHARE * lengths * (left @ right) @ linear).astype(np.float32)
        embedder.linear.weight.add_(torch.from_numpy(added) * 256)
        embedder.linear.bias.sub_(torch.from_numpy(added @ mean))


def _units(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
