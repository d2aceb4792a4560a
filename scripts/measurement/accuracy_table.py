"""Shows scores: a table beside an earlier measurement, and the JSON document that such a measurement is."""

from __future__ import annotations

import math

from rich.table import Table

from measurement.scoring import CellScore, Scores, Share

MEASURES = ("top1", "offset", "accepted", "gated")

Document = dict[str, dict[str, dict[str, float]]]


def to_document(scores: Scores) -> dict[str, object]:
    """Return the scores as JSON: shares and their 95 % intervals in [0, 1]."""
    cells = {
        cell.cell: {"negative": cell.negative, **{name: _share(share) for name, share in cell.shares.items()}}
        for cell in scores.cells
    }
    return {
        "false_accept_rate": scores.rate,
        "gate": scores.gate if math.isfinite(scores.gate) else None,
        "unanswered": scores.unanswered,
        "failed": scores.failed,
        "cells": cells,
    }


def accuracy_table(scores: Scores, *, baseline: Document) -> Table:
    """Return a row a cell: per cent, the 95 % interval, and the points gained on the baseline's cells.

    baseline: the `cells` of an earlier document; empty for none.
    """
    table = Table("cell", "n", box=None, header_style="bold")
    for name in MEASURES:
        table.add_column(name, no_wrap=True)
    for cell in scores.cells:
        before = baseline.get(cell.cell, {})
        columns = [_column(cell, name, before.get(name)) for name in MEASURES]
        queries = next(iter(cell.shares.values())).of
        table.add_row(cell.cell, str(queries), *columns, style="yellow" if cell.negative else None)
    return table


def _share(share: Share) -> dict[str, float]:
    low, high = share.interval
    return {
        "count": share.count,
        "of": share.of,
        "share": round(share.value, 5),
        "low": round(low, 5),
        "high": round(high, 5),
    }


def _column(cell: CellScore, name: str, before: dict[str, float] | None) -> str:
    share = cell.shares.get(name)
    if share is None:
        return ""
    low, high = share.interval
    text = f"{100 * share.value:5.1f} [dim]({100 * low:.0f}-{100 * high:.0f})[/]"
    return text if before is None else f"{text} {100 * (share.value - before['count'] / before['of']):+.1f}"
