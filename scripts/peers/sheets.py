"""The comparison's tables: for the terminal and for a README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from measurement.scoring import CellScore
from rich.table import Table

from peers.measuring import Result
from peers.published import LENGTHS, PUBLISHED


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of words, and what is to be said above it."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_table(self) -> Table:
        """Return it for the terminal."""
        table = Table(*self.columns, title=self.caption, title_justify="left", box=None, header_style="bold")
        for row in self.rows:
            table.add_row(*row)
        return table

    def to_markdown(self) -> str:
        """Return it for a README."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join([self.caption, "", *(f"| {' | '.join(line)} |" for line in lines)])


def accuracy_sheet(results: Sequence[Result]) -> Sheet:
    """Return a row a cell, a column a system, and a row for all clips of known songs."""
    rate = results[0].scores.rate
    cells = list(zip(*(result.scores.cells for result in results), strict=True))
    rows = [[row[0].cell, str(_queries(row[0])), *map(_shares, row)] for row in cells]
    known = [[cell for cell in result.scores.cells if not cell.negative] for result in results]
    if known[0]:
        total = sum(map(_queries, known[0]))
        rows.append(
            ["all of known songs", str(total), *(_percent(_all(own, "top1"), _all(own, "gated")) for own in known)]
        )
    return Sheet(
        f"Top-1 % / accepted %: right, and scored above the gate that at most {100 * rate:g} % of the negatives pass. "
        "Of negatives: those that pass.",
        ["cell", "n", *(result.name for result in results)],
        rows,
    )


def costs_sheet(results: Sequence[Result]) -> Sheet:
    """Return a row a system."""
    rows = [
        [
            result.name,
            "" if result.costs.query_cpu_ms is None else f"{result.costs.query_cpu_ms:.1f}",
            f"{result.costs.ingest_speed:,.0f}",
            f"{result.costs.index_mb_per_hour:.2f}",
            result.about,
        ]
        for result in results
    ]
    return Sheet(
        "What it costs: CPU of all processes for one more 5 s clip, decoding included, start-up left out; seconds of "
        "music ingested a CPU second; size of the index.",
        ["system", "CPU ms a query", "ingest x real time", "index MB an hour", "what it is"],
        rows,
    )


def published_sheet() -> Sheet:
    """Return what others report, a row a system and condition."""
    rows = [
        [
            row.system,
            row.conditions,
            *(f"{row.top1[seconds]:g}" if seconds in row.top1 else "" for seconds in LENGTHS),
            "" if row.accepted is None else f"{row.accepted:g}",
            row.source,
        ]
        for row in PUBLISHED
    ]
    return Sheet(
        "What others report, top-1 % by clip length: other music, other rooms, so beside the above and not against it.",
        ["system", "measured on", *(f"{seconds} s" for seconds in LENGTHS), "5 s, accepted at 1 %", "source"],
        rows,
    )


def _shares(cell: CellScore) -> str:
    gated = cell.shares["gated"].value
    return f"- / {100 * gated:.1f}" if cell.negative else _percent(cell.shares["top1"].value, gated)


def _percent(top1: float, gated: float) -> str:
    return f"{100 * top1:.1f} / {100 * gated:.1f}"


def _queries(cell: CellScore) -> int:
    return cell.shares["gated"].of


def _all(cells: Sequence[CellScore], measure: str) -> float:
    return sum(cell.shares[measure].count for cell in cells) / sum(map(_queries, cells))
