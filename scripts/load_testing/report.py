"""What a load came to: numbers for machines, a table for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.table import Table

from load_testing.clients import OK, WRONG, Load, Sample
from load_testing.generator import Sent
from load_testing.watch import MEGABYTE, Watch


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of the requests that were answered rightly."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Latencies | None:
        """Return them, None where nothing was answered."""
        milliseconds = [1000 * sample.seconds for sample in samples if sample.outcome == OK]
        if not milliseconds:
            return None
        p50, p95, p99, most = np.quantile(milliseconds, [0.5, 0.95, 0.99, 1])
        return cls(*(round(float(each), 2) for each in (p50, p95, p99, most)))


@dataclass(frozen=True, slots=True)
class Result:
    """A load and what it came to.

    cached: share of the answers that a cache gave; server_*: None where the server's process is not known;
    generator_late_ms: how much later than due requests left, at the 99th percentile, of those whose client was free.
    """

    load: Load
    requests: int
    per_second: float
    latencies_ms: Latencies | None
    errors: dict[str, int]
    wrong: int
    cached: float
    server_cpu_ms: float | None  # a request
    server_cores: float | None
    server_resident_mb: float | None
    generator_cpu_ms: float
    generator_late_ms: float

    @classmethod
    def of(cls, sent: Sent, watch: Watch | None) -> Result:
        """Put together what the clients and the server's process tell."""
        outcomes = Counter(sample.outcome for sample in sent.samples)
        right, wrong = outcomes.pop(OK, 0), outcomes.pop(WRONG, 0)
        count = max(1, len(sent.samples))
        cached = sum(sample.cache in ("memory", "redis") for sample in sent.samples)
        late = [sample.late_seconds for sample in sent.samples] or [0.0]
        return cls(
            load=sent.load,
            requests=len(sent.samples),
            per_second=round((right + wrong) / sent.seconds, 1),
            latencies_ms=Latencies.of(sent.samples),
            errors=dict(outcomes),
            wrong=wrong,
            cached=round(cached / count, 3),
            server_cpu_ms=watch and round(1000 * watch.cpu_seconds / count, 2),
            server_cores=watch and round(watch.cpu_seconds / sent.seconds, 2),
            server_resident_mb=watch and round(watch.resident_bytes_max / MEGABYTE, 1),
            generator_cpu_ms=round(1000 * sent.cpu_seconds / count, 3),
            generator_late_ms=round(1000 * float(np.quantile(late, 0.99)), 2),
        )

    def document(self) -> dict[str, object]:
        """Return it as JSON knows it."""
        return asdict(self)


def named(load: Load) -> str:
    """Say in a few words what a load is."""
    kind = f"{load.form}, {'never seen' if load.fresh else 'cached'}"
    return f"{kind}, {load.clients} clients" if load.rate is None else f"{kind}, {load.rate:g}/s"


def table(results: Sequence[Result], wanted: Sequence[str] = ()) -> Table:
    """Return a row a load; wanted: what was asked for, a text a load."""
    titles = ("load", "requests", "1/s", "p50 ms", "p95", "p99", "max", "errors", "wrong", "cached", "CPU ms", "MB")
    shown = Table(*titles, *(["wanted"] if wanted else []), box=None, header_style="bold")
    for column in shown.columns[1:]:
        column.justify = "right"
    for number, result in enumerate(results):
        shown.add_row(*_cells(result), *wanted[number : number + 1])
    return shown


def errors_text(errors: dict[str, int]) -> str:
    """Say how many of which, the most frequent first."""
    ordered = sorted(errors.items(), key=lambda each: -each[1])
    return ", ".join(f"{count} {name}" for name, count in ordered) or "0"


def _cells(result: Result) -> list[str]:
    times = result.latencies_ms
    latencies = ["-"] * 4 if times is None else [f"{each:.1f}" for each in (times.p50, times.p95, times.p99, times.max)]
    return [
        named(result.load),
        str(result.requests),
        f"{result.per_second:,.0f}",
        *latencies,
        errors_text(result.errors),
        str(result.wrong),
        f"{result.cached:.0%}",
        "-" if result.server_cpu_ms is None else f"{result.server_cpu_ms:.2f}",
        "-" if result.server_resident_mb is None else f"{result.server_resident_mb:.0f}",
    ]
