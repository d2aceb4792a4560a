"""What the right answers are: those of the server itself before there is any load."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from load_testing.clips import Bodies, Body, Clip, Form
from load_testing.connection import Connection

PATH = "/v1/recognize"
_OFFSET_TOLERANCE_MS = 500  # as accuracy is counted
_NUDGED_TRIES = 2


@dataclass(frozen=True, slots=True)
class Truth:
    """The songs that a clip is from, none for a clip of no song, and the place in the first of them."""

    song_ids: frozenset[int]
    offset_ms: int

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Truth:
        """Read an answer; one without names will do."""
        matches = answer["matches"]
        return cls(frozenset(match["song"]["id"] for match in matches), matches[0]["offset_ms"] if matches else 0)

    def agrees(self, other: Truth) -> bool:
        """Say whether both name the same songs, and the same place but for half a second."""
        return self.song_ids == other.song_ids and abs(self.offset_ms - other.offset_ms) <= _OFFSET_TOLERANCE_MS


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Clips whose answers are known: both in the same order."""

    clips: Sequence[Clip]
    truths: Sequence[Truth]


async def find_truth(
    connection: Connection, clips: Sequence[Clip], forms: Sequence[Form], *, done: Callable[[], None] = lambda: None
) -> Asked:
    """Ask for every clip, one at a time, as it is and nudged; leave out those whose answers differ.

    Of such a clip, at the very edge of being accepted, no answer could be called wrong. The connection is closed in
    the end. Raises OSError.
    """
    kept: list[tuple[Clip, Truth]] = []
    async with connection:
        for clip in clips:
            told = [await _told(connection, body) for form in forms for body in _tries(clip, form)]
            if all(told[0].agrees(other) for other in told):
                kept.append((clip, told[0]))
            done()
    if not kept:
        raise OSError("no clip has an answer that is the same each time")
    return Asked([clip for clip, _ in kept], [truth for _, truth in kept])


async def ask(connection: Connection, body: Body) -> dict[str, Any]:
    """Return the answer to a body; raises OSError where it is none."""
    response = await connection.post(PATH, body.content, body.content_type)
    if response.status != 200:
        raise OSError(f"the server answers {response.status}: {response.content[:500].decode(errors='replace')}")
    answer: dict[str, Any] = json.loads(response.content)
    return answer


def _tries(clip: Clip, form: Form) -> list[Body]:
    nudged = Bodies([clip], form, fresh=True)
    return [Bodies([clip], form, fresh=False)(0), *(nudged(0) for _ in range(_NUDGED_TRIES))]


async def _told(connection: Connection, body: Body) -> Truth:
    return Truth.of(await ask(connection, body))
