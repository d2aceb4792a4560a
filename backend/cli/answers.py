"""What is said about a file: a line of JSON for programs, a card for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from rich.panel import Panel
from rich.table import Table

from backend.cli.output import shown, stdout

WORDS = ((0.99, "practically certain"), (0.9, "very likely"), (0.7, "likely"), (0.5, "more likely than not"))
REASONS = {
    "silence": "there is nothing but silence to hear",
    "too_short": "the clip is shorter than a second",
    "below_threshold": "nothing in the catalogue is similar enough",
}


@dataclass(frozen=True, slots=True)
class CandidateSong:
    """A song that a file may be from; of a degraded answer the id is known and nothing else."""

    id: int
    external_id: str | None
    title: str | None
    artist: str | None
    album: str | None
    offset_ms: int
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found in a file; candidates are best first, there even when none is accepted."""

    file: str
    status: Literal["match", "no_match", "error"]
    candidates: tuple[CandidateSong, ...] = ()
    matches: int = 0  # how many of the candidates are the answer: more than one share this audio
    reason: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    problem: dict[str, object] | None = None


Ask = Callable[[str], Awaitable[Answer]]


def to_line(answer: Answer) -> dict[str, object]:
    """Return the document that --jsonl prints on a line."""
    line: dict[str, object] = {
        "file": answer.file,
        "status": answer.status,
        "candidates": [
            {
                "song": candidate.external_id,
                "song_id": candidate.id,
                "offset_ms": candidate.offset_ms,
                "score": candidate.score,
                "title": candidate.title,
                "artist": candidate.artist,
            }
            for candidate in answer.candidates
        ],
        "timings_ms": answer.timings_ms,
    }
    if answer.status == "match":
        line["ambiguous"] = answer.matches > 1
    if answer.reason is not None:
        line["reason"] = answer.reason
    if answer.problem is not None:
        line["problem"] = answer.problem
    return line


def print_answer(answer: Answer) -> None:
    """Print a card."""
    if answer.status == "error" and answer.problem is not None:
        _print_panel(f"[red]{shown(str(answer.problem['detail']))}[/]", answer.file, colour="red")
        return
    card = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for label, text in _rows(answer):
        card.add_row(f"[dim]{label}[/]", text)
    _print_panel(card, answer.file, colour="green" if answer.status == "match" else "yellow")


def _print_panel(content: str | Table, file: str, *, colour: str) -> None:
    panel = Panel(content, title=shown(file), title_align="left", border_style=colour)
    stdout().print(panel, soft_wrap=False)  # wrapped within the frame, not cut off at it


def _rows(answer: Answer) -> list[tuple[str, str]]:
    accepted, others = answer.candidates[: answer.matches], answer.candidates[answer.matches :]
    rows: list[tuple[str, str]] = []
    for candidate in accepted:
        rows += [
            ("song" if candidate is accepted[0] else "or", f"[bold]{_name(candidate)}[/]"),
            ("score", f"{_words(candidate.score)} ({candidate.score:.3f})"),
            ("from", f"{_clock(candidate.offset_ms)} in the song"),
        ]
        if candidate.album:
            rows.insert(-2, ("album", shown(candidate.album)))
    if answer.status == "no_match":
        rows.append(("no match", REASONS.get(answer.reason or "", answer.reason or "")))
    if others:
        label = "runner-up" if accepted else "closest"
        rows.append((label, f"{_name(others[0])} ({others[0].score:.3f})"))
    return rows


def _name(candidate: CandidateSong) -> str:
    if candidate.title is None:
        return f"song {candidate.id}, whose name the catalogue cannot tell now"
    return shown(f"{candidate.title} - {candidate.artist}" if candidate.artist else candidate.title)


def _words(score: float) -> str:
    return next((words for least, words in WORDS if score >= least), "unlikely")


def _clock(milliseconds: int) -> str:
    sign = "-" if milliseconds < 0 else ""
    minutes, seconds = divmod(abs(milliseconds) / 1000, 60)
    return f"{sign}{int(minutes)}:{seconds:04.1f}"
