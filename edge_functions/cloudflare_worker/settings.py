"""Every setting of the Python Worker, from the variables of wrangler.jsonc and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Settings:
    """Each is a variable in capitals; those without a default must be there."""

    origin_url: str  # `https://...`, without a slash at its end
    body_bytes_max: int = 100_000  # larger bodies stream through: their upload takes longer than the origin's answer
    clip_seconds_max: float = 20.0  # the origin's SONICA_CLIP_SECONDS_MAX
    origin_seconds_max: float = 5.0  # for each of two tries
    stream_seconds_max: float = 20.0  # for what streams through: the origin itself gives up after 15
    match_ttl_seconds: int = 86_400
    no_match_ttl_seconds: int = 60  # the song may be added meanwhile; KV keeps nothing for less
    rate_limit_seconds: int = 60  # the period of the rate limiter's binding
    trace_share: float = 1.0  # of the traces that begin here, to be recorded; the origin does as it is told
    cors_origins: str = "*"  # of browsers' pages that may ask, separated by commas; empty for none

    @classmethod
    def from_variables(cls, variable: Callable[[str], object | None]) -> Settings:
        """Read the settings. Raises ValueError for a wrong or missing one."""
        given = {each.name: variable(each.name.upper()) for each in fields(cls)}
        if given["origin_url"] is None:
            raise ValueError("ORIGIN_URL is not set: where are clips to go that the edge does not know?")
        return cls(**{name: _TYPES[name](str(value)) for name, value in given.items() if value is not None})


_READ: dict[str, Callable[[str], Any]] = {"int": lambda text: int(float(text)), "float": float, "str": str}
_TYPES = {each.name: _READ[str(each.type)] for each in fields(Settings)}
