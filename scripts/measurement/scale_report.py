"""Shows how engines hold as the catalogue grows: tables, and curves as PNG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_CELLS = ("mic_1s", "mic_2s", "mic_3s", "mic_5s", "mic_10s", "noise0_5s")

Document = dict[str, Any]
Row = dict[str, Any]


def tables(document: Document) -> Iterator[Table]:
    """Yield accuracy by cell and size, the engines of each size, and how hard the distractors are."""
    yield _cells_table(document)
    for size in document["sizes"]:
        yield _engines_table(size)
    if document["likeness"]:
        table = Table(title="Mean cosine of negatives' segments to the nearest of equally many", box=None)
        for kind in document["likeness"]:
            table.add_column(kind, justify="right")
        table.add_row(*(f"{cosine:.3f}" for cosine in document["likeness"].values()))
        yield table


def product_row(document: Document, size: Document) -> Row:
    """Return the row of the product's own setting."""
    return next(row for row in size["engines"] if document["product"].items() <= row.items())


def draw(document: Document, folder: Path) -> None:
    """Write accuracy_by_size.png, search_by_size.png and, where formats were measured, accuracy_by_bytes.png."""
    folder.mkdir(parents=True, exist_ok=True)
    _draw_accuracy(document, folder / "accuracy_by_size.png")
    _draw_search(document, folder / "search_by_size.png")
    if any(_rows(size, "squeezed") for size in document["sizes"]):
        _draw_squeezed(document, folder / "accuracy_by_bytes.png")


def _cells_table(document: Document) -> Table:
    table = Table("cell", "n", title="The product: top-1 % / gated % by cell", box=None, header_style="bold")
    rows = [product_row(document, size) for size in document["sizes"]]
    for size in document["sizes"]:
        table.add_column(f"{size['times']:g}x, {_hours(size):,.1f} h", justify="right")
    for name, first in rows[0]["scores"]["cells"].items():
        cells = [row["scores"]["cells"][name] for row in rows]
        count = str(first["gated"]["of"])
        table.add_row(name, count, *map(_shares, cells), style="yellow" if first["negative"] else None)
    table.add_row("all with a song", "", *(f"{100 * row['top1']:.1f} / {100 * row['gated']:.1f}" for row in rows))
    return table


def _shares(cell: dict[str, Any]) -> str:
    parts = ("gated",) if cell["negative"] else ("top1", "gated")
    return " / ".join(f"{100 * cell[part]['share']:.1f}" for part in parts)


def _engines_table(size: Document) -> Table:
    title = f"{size['times']:g}x: {_hours(size):,.1f} h, {size['segments']:,} segments"
    table = Table("engine", title=title, box=None, header_style="bold")
    names = (
        "near.",
        "cand.",
        "MB/h",
        "recall@1",
        "@10",
        "search ms",
        "p95",
        "verify ms",
        "top-1 %",
        "accepted %",
        "gated %",
    )
    for name in names:
        table.add_column(name, justify="right")
    for row in size["engines"]:
        search = row["search_ms"]
        table.add_row(
            row["engine"],
            str(row["neighbours"]),
            str(row["candidates"]),
            f"{row['bytes_per_hour'] / 1e6:.3f}",
            f"{row['rescored_bytes_per_hour'] / 1e6:.3f}" if row["rescored_bytes_per_hour"] else "",
            *(f"{row[name]:.3f}" if name in row else "" for name in ("recall_at_1", "recall_at_10")),
            *((f"{search['median']:.2f}", f"{search['p95']:.2f}") if search else ("", "")),
            f"{row['verify_ms']['median']:.2f}",
            *(f"{100 * row[name]:.1f}" for name in ("top1", "accepted", "gated")),
        )
    return table


def _draw_accuracy(document: Document, path: Path) -> None:
    figure, axes = _panels("top-1 %", "gated %")
    rows = [product_row(document, size) for size in document["sizes"]]
    hours = [_hours(size) for size in document["sizes"]]
    for axis, part in zip(axes, ("top1", "gated"), strict=True):
        for cell in SHOWN_CELLS:
            if cell in rows[0]["scores"]["cells"]:
                shares = [100 * row["scores"]["cells"][cell][part]["share"] for row in rows]
                axis.plot(hours, shares, marker="o", label=cell)
        axis.plot(hours, [100 * row[part] for row in rows], marker="o", color="black", label="all with a song")
        _along_hours(axis, hours)
    _save(figure, path)


def _draw_search(document: Document, path: Path) -> None:
    figure, axes = _panels("CPU ms a search, median; dotted: p95", "recall@10")
    usual = {name: document["product"][name] for name in ("neighbours", "candidates")}
    curves: dict[str, list[tuple[float, Row]]] = {}
    for size in document["sizes"]:
        for row in [*_rows(size, "hnsw"), *_rows(size, "ivf")]:
            if usual.items() <= row.items():
                curves.setdefault(row["engine"], []).append((_hours(size), row))
    for name, points in curves.items():
        hours = [at for at, _ in points]
        (line,) = axes[0].plot(hours, [row["search_ms"]["median"] for _, row in points], marker="o", label=name)
        axes[0].plot(hours, [row["search_ms"]["p95"] for _, row in points], ":", color=line.get_color())
        axes[1].plot(hours, [row["recall_at_10"] for _, row in points], marker="o", color=line.get_color())
    axes[0].set(ylim=(0, None))
    for axis in axes:
        _along_hours(axis, [_hours(size) for size in document["sizes"]])
    _save(figure, path)


def _draw_squeezed(document: Document, path: Path) -> None:
    figure, axes = _panels("top-1 %", "gated %")
    measured = [size for size in document["sizes"] if _rows(size, "squeezed")]
    for size in measured:
        rows = sorted(_rows(size, "squeezed"), key=lambda row: row["bytes_per_hour"])
        for dimensions in sorted({row["dimensions"] for row in rows}):
            points = [row for row in rows if row["dimensions"] == dimensions]
            megabytes = [row["bytes_per_hour"] / 1e6 for row in points]
            for axis, part in zip(axes, ("top1", "gated"), strict=True):
                label = f"{size['times']:g}x, {dimensions} dimensions"
                axis.plot(megabytes, [100 * row[part] for row in points], marker="o", label=label)
                for at, row in zip(megabytes, points, strict=True) if size is measured[-1] else ():
                    axis.annotate(row["engine"], (at, 100 * row[part]), fontsize=6, rotation=30)
    for axis in axes:
        axis.set(xscale="log", xlabel="MB an hour of audio")
    _save(figure, path)


def _along_hours(axis: Axes, hours: list[float]) -> None:
    axis.set(xscale="log", xlabel="hours in the catalogue")
    axis.minorticks_off()
    axis.set_xticks(hours, [f"{each:,.0f}" for each in hours])


def _panels(*titles: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(titles))
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title)
        axis.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib is not imported here
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path, dpi=120)


def _rows(size: Document, kind: str) -> list[Row]:
    return [row for row in size["engines"] if row["kind"] == kind]


def _hours(size: Document) -> float:
    return float(sum(size["hours"].values()))
