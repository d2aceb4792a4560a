"""Scores answers against queries, cell by cell, with the uncertainty of each share."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

OFFSET_TOLERANCE_MS = 500
_NORMAL_95 = 1.959964  # quantile of the normal distribution for a 95 % interval


@dataclass(frozen=True, slots=True)
class Query:
    """A clip and what is to be found in it; no song: the right answer is no match."""

    path: str
    cell: str
    song: str | None
    offset_seconds: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: the best candidate, and whether it was accepted as a match."""

    accepted: bool = False
    song: str | None = None
    offset_ms: float = -math.inf
    score: float = -math.inf
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """So many out of so many."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share in [0, 1]."""
        return self.count / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval after Wilson (1927), which holds for small samples and for shares near 0 and 1."""
        z2 = _NORMAL_95**2 / self.of
        centre = (self.value + z2 / 2) / (1 + z2)
        reach = math.sqrt(z2 * (self.value * (1 - self.value) + z2 / 4)) / (1 + z2)
        return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True, slots=True)
class CellScore:
    """A cell's shares. Of a negative cell `accepted` and `gated` are false answers, and there are no others.

    top1: the best candidate's song is right.   offset: and its offset is within 0.5 s.
    accepted: right, and the product said match. gated: right, and the score is above the gate.
    """

    cell: str
    negative: bool
    shares: dict[str, Share]


@dataclass(frozen=True, slots=True)
class Scores:
    """All cells; `gate` is the score that at most `rate` of all negatives surpass."""

    cells: tuple[CellScore, ...]
    gate: float
    rate: float
    unanswered: int
    failed: int


def read_queries(path: Path) -> list[Query]:
    """Read a JSON list of {path, cell, song (or track), offset_s}."""
    return [
        Query(row["path"], row["cell"], row["song"] if "song" in row else row["track"], row.get("offset_s"))
        for row in json.loads(path.read_text())
    ]


def read_answers(path: Path) -> dict[str, Answer]:
    """Read what `sonica recognize --jsonl` printed, by file."""
    lines = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
    return {line["file"]: _answer(line) for line in lines}


def score(queries: list[Query], answers: dict[str, Answer], *, rate: float) -> Scores:
    """Score all cells in the order of the queries; a query without an answer counts as a miss."""
    gate = _gate((answers.get(query.path, Answer()).score for query in queries if query.song is None), rate)
    cells = tuple(
        _score_cell(cell, [(q, answers.get(q.path, Answer())) for q in queries if q.cell == cell], gate)
        for cell in dict.fromkeys(query.cell for query in queries)
    )
    given = [answers[query.path] for query in queries if query.path in answers]
    return Scores(cells, gate, rate, len(queries) - len(given), sum(answer.failed for answer in given))


def _answer(line: dict[str, object]) -> Answer:
    candidates = line.get("candidates") or []
    failed = line["status"] == "error"
    if not isinstance(candidates, list) or not candidates:
        return Answer(failed=failed)
    best = candidates[0]
    return Answer(line["status"] == "match", best["song"], best["offset_ms"], best["score"], failed)


def _gate(negatives: Iterable[float], rate: float) -> float:
    """Return the lowest score that at most `rate` of the negatives are above; without negatives all pass."""
    ranked = sorted(negatives, reverse=True)
    return ranked[min(int(rate * len(ranked)), len(ranked) - 1)] if ranked else -math.inf


def _score_cell(cell: str, rows: list[tuple[Query, Answer]], gate: float) -> CellScore:
    def share(counts: Callable[[Query, Answer], bool]) -> Share:
        return Share(sum(counts(query, answer) for query, answer in rows), len(rows))

    if rows[0][0].song is None:
        false = {"accepted": share(lambda _, a: a.accepted), "gated": share(lambda _, a: a.score > gate)}
        return CellScore(cell, negative=True, shares=false)
    return CellScore(
        cell,
        negative=False,
        shares={
            "top1": share(_is_right),
            "offset": share(lambda q, a: _is_right(q, a) and _is_near(q, a)),
            "accepted": share(lambda q, a: _is_right(q, a) and a.accepted),
            "gated": share(lambda q, a: _is_right(q, a) and a.score > gate),
        },
    )


def _is_right(query: Query, answer: Answer) -> bool:
    return answer.song == query.song


def _is_near(query: Query, answer: Answer) -> bool:
    wanted_ms = 1000 * (query.offset_seconds or 0.0)
    return abs(answer.offset_ms - wanted_ms) <= OFFSET_TOLERANCE_MS
