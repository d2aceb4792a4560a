"""The embedding as PyTorch learns it: a linear map and a convolutional trunk, added.

The trunk has no padding in time, so that on a stream it costs only what is new, and no clip-level statistics.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sonica_fingerprint import DIMENSIONS
from torch import nn

from training.corpus import BANDS, SEGMENT_FRAMES

# Of each layer: channels out, kernel (time, bands), stride (time, bands); bands are padded by half a kernel.
# The strides in time multiply to the step between segments.
LAYERS = [(24, (5, 5), (2, 2)), (48, (3, 3), (1, 2)), (96, (3, 3), (2, 2)), (128, (3, 3), (1, 2))]
HEAD_COLUMNS, HEAD_BANDS, HIDDEN = 2, 5, 256
GATE = 0.1  # how loud the untrained trunk is beside the linear map, which is good from the start


class Embedder(nn.Module):
    """Patches (n, SEGMENT_FRAMES, BANDS) in units of the features -> embeddings (n, DIMENSIONS) of any length."""

    def __init__(self, linear: npt.NDArray[np.float32], mean: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.linear = nn.Linear(SEGMENT_FRAMES * BANDS, DIMENSIONS)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(linear) * 256)
            self.linear.bias.copy_(-torch.from_numpy(linear @ mean))
        channels, layers = 1, []
        for out, kernel, stride in LAYERS:
            convolution = nn.Conv2d(channels, out, kernel, stride, padding=(0, kernel[1] // 2), bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU()))
            channels = out
        self.trunk = nn.ModuleList(layers)
        self.hidden = nn.Sequential(
            nn.Conv2d(channels, HIDDEN, (HEAD_COLUMNS, HEAD_BANDS), bias=False), nn.BatchNorm2d(HIDDEN), nn.ReLU()
        )
        self.head = nn.Linear(HIDDEN, DIMENSIONS)
        nn.init.normal_(self.head.weight, std=(DIMENSIONS * HIDDEN) ** -0.5)  # as long as the linear map's output
        nn.init.zeros_(self.head.bias)
        self.gate = nn.Parameter(torch.tensor(GATE))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Embed; the result's length means nothing."""
        scaled = patches / 256
        columns = scaled[:, None].contiguous(memory_format=torch.channels_last)
        for layer in self.trunk:
            columns = layer(columns)
        return self.linear(scaled.flatten(1)) + self.gate * self.head(self.hidden(columns).flatten(1))
