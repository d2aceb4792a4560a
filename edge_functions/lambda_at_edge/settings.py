"""Every setting of the edge. Lambda@Edge has no environment: scripts/build_edge.py bakes them into the zips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

BAKED = Path(__file__).with_name("settings.json")


class Settings(NamedTuple):  # a dataclass would add 10 ms to every cold start
    """What the handlers go by."""

    clip_bytes_max: int = 100_000  # larger clips go through unread; CloudFront shows at most 1 MB of a body
    clip_seconds_max: float = 20.0  # as the origin's: more adds cost, no accuracy
    body_bytes_max: int = 10_000_000  # as the origin's: a larger one is refused before it travels
    match_seconds_max: int = 300  # how long a GET /v1/match stays, whatever the origin says
    missing_seconds: int = 5  # how long "not known" stays: the fingerprint is probably on its way
    token_leeway_seconds: int = 60  # clocks differ
    trace_share: float = 1.0  # of the traces that begin here, to be recorded; the origin does as it is told


def load(path: Path = BAKED) -> Settings:
    """Return what was baked in; the defaults where nothing was. Raises TypeError for a setting that there is not."""
    return Settings(**json.loads(path.read_text())) if path.exists() else Settings()
