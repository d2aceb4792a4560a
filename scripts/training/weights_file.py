"""Writes what wasm/kernel/weights.h describes: the trained network in int8 weights and int16 activations.

Batch normalisation is folded into its convolution. Every row of weights has a scale of its own, every layer one scale
for its activations, chosen so that the largest seen on real patches just fits (Jacob et al. 2018).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.network import Embedder

ACTIVATION_MAX, BIAS_MAX = 8191, 2**29
FEATURE_SCALE = 1 / 256  # what one unit of a feature is to the network
TAPS = 32  # of the first layer, filled up with zeros
Array = npt.NDArray[np.float64]


def weights_file(embedder: Embedder, patches: npt.NDArray[np.float32]) -> bytes:
    """Return the file's content; `patches` (n, SEGMENT_FRAMES, BANDS) show how large activations become."""
    embedder.eval()
    scales = [FEATURE_SCALE, *_activation_scales(embedder, patches)]
    parts = []
    for number, layer in enumerate([*embedder.trunk, embedder.hidden]):
        weights, bias = _folded(layer)
        rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)  # by frame, then band, then channel
        if number == 0:
            rows = np.pad(rows, ((0, 0), (0, TAPS - rows.shape[1])))
        parts.append(_layer(rows, bias, scales[number], scales[number + 1]))
    gate = embedder.gate.item()
    parts.append(_layer(gate * _array(embedder.head.weight), gate * _array(embedder.head.bias), scales[-1], 1.0))
    parts.append(_layer(_array(embedder.linear.weight), _array(embedder.linear.bias), FEATURE_SCALE, 1.0))
    return b"".join(parts)


def _activation_scales(embedder: Embedder, patches: npt.NDArray[np.float32]) -> list[float]:
    peaks: list[float] = []
    layers = [*embedder.trunk, embedder.hidden]
    hooks = [layer.register_forward_hook(lambda _, __, out: peaks.append(float(out.max()))) for layer in layers]
    with torch.no_grad():
        for part in np.array_split(patches, max(1, len(patches) // 512)):
            embedder(torch.from_numpy(part))
    for hook in hooks:
        hook.remove()
    return list(np.array(peaks).reshape(-1, len(layers)).max(axis=0) / ACTIVATION_MAX)


def _folded(layer: nn.Sequential) -> tuple[Array, Array]:
    convolution, norm = layer[0], layer[1]
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weights = convolution.weight * gain[:, None, None, None]
    return _array(weights), _array(norm.bias - norm.running_mean * gain)


def _layer(rows: Array, bias: Array, scale_in: float, scale_out: float) -> bytes:
    scale = np.maximum(np.abs(rows).max(axis=1), 1e-6 * np.abs(rows).max()) / 127
    weights = np.rint(rows / scale[:, None]).astype(np.int8)
    sums = np.clip(np.rint(bias / (scale * scale_in)), -BIAS_MAX, BIAS_MAX).astype("<i4")
    return weights.tobytes() + sums.tobytes() + (scale * scale_in / scale_out).astype("<f4").tobytes()


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().double().numpy()
