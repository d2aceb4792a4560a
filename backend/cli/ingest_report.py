"""Shows an ingest: a bar while it runs, a line of JSON for each file if asked, a table at the end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from backend.cli.output import print_json, shown, stderr, stdout

if TYPE_CHECKING:
    from backend.ingestion.outcomes import Ingested

OUTCOMES = ("added", "updated", "skipped", "duplicate", "failed")
QUEUED = "queued"  # handed to workers, told only where there is a queue
HINTS = {
    "already_known": "--reingest takes changed details",
    "failed_before": "--retry-failed tries them again",
}
EXAMPLES_MAX = 10  # files named for each reason in the table; --json names them all


class Report:
    """Counts what becomes of the files and shows it."""

    def __init__(self, *, as_json: bool, jsonl: bool) -> None:
        self._as_json = as_json
        self._jsonl = jsonl
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()  # by outcome and code
        # By code, what failed and what is there twice: all for a document, some for a table, however many there are.
        self._named: dict[str, list[Ingested]] = {}
        self._audio_ms = 0
        self._files = 0
        self._started_at = time.monotonic()
        self._console = stderr()
        self._progress = _progress(self._console)
        self._task = TaskID(0)

    @property
    def failed(self) -> int:
        """How many files failed."""
        return self._counts["failed"]

    @property
    def shows_bar(self) -> bool:
        """Whether there is a bar, which is the better for a number of files."""
        return not self._progress.disable

    def __enter__(self) -> Report:
        self._task = self._progress.add_task("ingest", total=None, speed="")
        self._started_at = time.monotonic()
        self._progress.start()
        return self

    def expect(self, files: int) -> None:
        """Say how many files there will be; it may be known late."""
        self._files = files
        self._progress.update(self._task, total=files)

    def add(self, outcome: Ingested) -> None:
        """Count and show what became of a file."""
        self._counts[outcome.outcome] += 1
        self._audio_ms += outcome.duration_ms
        if outcome.code is not None:
            self._reasons[outcome.outcome, outcome.code] += 1
            if outcome.outcome != "skipped":
                self._name(outcome, outcome.code)
        if self._jsonl:
            print_json(asdict(outcome))
        last = self._counts.total() == self._files  # what is left is the index
        self._progress.update(
            self._task,
            advance=1,
            speed=f"{self._speed():.0f}x real time",
            description="index" if last else "ingest",
        )

    def _name(self, outcome: Ingested, code: str) -> None:
        named = self._named.setdefault(code, [])
        if self._as_json or len(named) < EXAMPLES_MAX:
            named.append(outcome)

    def interrupted(self) -> None:
        """Say how to go on."""
        self.print_document()
        self._console.print("Interrupted. Nothing that was reported is lost; the same command goes on from there.")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove the bar; show counts and reasons to people."""
        self._progress.stop()
        if kind is None and not self._counts:
            self._console.print("There are no audio files to ingest.")
        if self._counts and not self._as_json:
            self._print_table(self._console if self._jsonl else stdout())

    def print_document(self) -> None:
        """Print counts and reasons for programs, if asked for."""
        if self._as_json:
            print_json(self._document())

    def _speed(self) -> float:
        return self._audio_ms / 1000 / max(time.monotonic() - self._started_at, 1e-3)

    def _outcomes(self) -> tuple[str, ...]:
        return (QUEUED, "failed") if self._counts[QUEUED] else OUTCOMES

    def _document(self) -> dict[str, object]:
        return {
            **{outcome: self._counts[outcome] for outcome in self._outcomes()},
            "audio_seconds": self._audio_ms / 1000,
            "seconds": round(time.monotonic() - self._started_at, 3),
            "files": [asdict(outcome) for outcomes in self._named.values() for outcome in outcomes],
        }

    def _print_table(self, console: Console) -> None:
        from rich.table import Table

        table = Table("outcome", "files", "why", box=None, header_style="bold")
        for outcome in self._outcomes():
            table.add_row(outcome, str(self._counts[outcome]), "")
            for (reason_of, code), files in self._reasons.items():
                if reason_of == outcome:
                    table.add_row("", str(files), f"{code}: {HINTS[code]}" if code in HINTS else code)
        console.print(table)
        minutes = self._audio_ms / 60_000
        seconds = time.monotonic() - self._started_at
        if self._audio_ms:
            console.print(f"{minutes:.1f} minutes of audio in {seconds:.1f} s: {self._speed():.0f}x real time")
        for code, named in self._named.items():
            files = sum(
                number for (outcome, of), number in self._reasons.items() if of == code and outcome != "skipped"
            )
            _print_examples(console, code, named, files)


def _print_examples(console: Console, code: str, examples: list[Ingested], files: int) -> None:
    console.print(f"[bold]{code}[/]")
    for file in examples[:EXAMPLES_MAX]:
        console.print(f"  {shown(file.file)}: {shown(file.detail or '')}")
    if files > EXAMPLES_MAX:
        console.print(f"  and {files - EXAMPLES_MAX} more; --json names them all")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or console.no_color,
    )
