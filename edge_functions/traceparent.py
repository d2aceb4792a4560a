"""The trace that a request is in, so that the edge and the origin tell one story of it.

https://www.w3.org/TR/trace-context: a caller's trace is taken up, else one begins here; the origin is told of a span
of the edge's own.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_SAMPLED = 0x01
# Version, trace id, parent id, flags.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class Trace(NamedTuple):  # a dataclass would add 10 ms to every cold start
    """A request's place in its trace; ids in hex, of 32 and 16 digits."""

    trace_id: str
    span_id: str  # the edge's own
    parent_id: str | None  # the caller's, None where the trace begins here
    sampled: bool

    @property
    def traceparent(self) -> str:
        """The header for the origin."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"


def trace_of(traceparent: str, *, seed: str, share: float) -> Trace:
    """Return the trace of a request.

    traceparent: the caller's header; one that is malformed counts for none. seed: no other request has the same.
    share: of the traces that begin here, to be recorded.
    """
    digest = hashlib.sha256(seed.encode()).hexdigest()
    span_id = digest[32:48]
    if taken := _TRACEPARENT.fullmatch(traceparent):
        return Trace(taken[1], span_id, taken[2], bool(int(taken[3], 16) & _SAMPLED))
    return Trace(digest[:32], span_id, None, int(digest[48:61], 16) / 16**13 < share)
