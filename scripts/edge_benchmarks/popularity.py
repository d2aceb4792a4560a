"""How many requests stay at the edge when songs are asked for by Zipf's law: the n-th as often as n^-exponent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

CATALOGUES = (10_000, 100_000, 1_000_000)
EXPONENTS = (0.8, 1.0, 1.2)  # what is measured for songs and videos lies between


@dataclass(frozen=True, slots=True)
class Audience:
    """What is assumed; all but the songs are shares of all requests, or of a song's."""

    hot_songs: int = 500
    found: float = 1.0  # of clips of hot songs, those that the hot index answers: the accuracy table's "accepted"
    unknown: float = 0.1  # clips of no song at all, which the origin has to tell
    repeated: float = 0.0  # the very same fingerprint within a day, which the cache answers

    def share_at_edge(self, catalogue: int, exponent: float) -> float:
        """Return the share of requests that the origin never sees."""
        weights = np.arange(1, catalogue + 1, dtype=np.float64) ** -exponent
        hot = weights[: self.hot_songs].sum() / weights.sum()
        return float(self.repeated + (1 - self.repeated) * (1 - self.unknown) * hot * self.found)


def measure(audience: Audience, *, fingerprint_share: float | None) -> list[dict[str, Any]]:
    """Return the shares of requests, and of bytes if a fingerprint's share of its clip is known."""
    rows = []
    for catalogue in CATALOGUES:
        for exponent in EXPONENTS:
            share = audience.share_at_edge(catalogue, exponent)
            bytes_share = None if fingerprint_share is None else (1 - share) * fingerprint_share
            rows.append({"songs": catalogue, "exponent": exponent, "at_edge": share, "origin_bytes": bytes_share})
    return rows


def table(rows: list[dict[str, Any]], audience: Audience) -> Table:
    """Return the numbers for people."""
    title = (
        f"{audience.hot_songs} hot songs, {audience.found:.0%} of their clips found, {audience.unknown:.0%} of no song"
    )
    shown = Table("songs", "exponent", "answered at the edge", "bytes to the origin", title=title)
    for row in rows:
        share = "" if row["origin_bytes"] is None else f"{row['origin_bytes']:.1%}"
        shown.add_row(f"{row['songs']:,}", f"{row['exponent']:.1f}", f"{row['at_edge']:.0%}", share)
    return shown
