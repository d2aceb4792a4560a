"""A long load at an even rate: memory must come to an end of its growth, and answers stay right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from rich.table import Table

from load_testing.clients import OK, WRONG, Load, Sample
from load_testing.clips import Mix
from load_testing.generator import Sent
from load_testing.report import Latencies, errors_text
from load_testing.watch import MEGABYTE, Growth, Reading, Watch

_POINTS = 60  # of the memory's course that the report keeps
_PARTS = 6  # of the time whose latencies it compares


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long, how much, and what growth after the first part of it, while caches fill, is taken for flat."""

    minutes: float
    rate: float
    clients: int
    warm_up_share: float
    growth_mb_max: float
    form: Mix = "fingerprint"

    @property
    def load(self) -> Load:
        """New clips throughout: each takes the whole way, and a place in the cache."""
        return Load(self.clients, 60 * self.minutes, self.form, fresh=True, rate=self.rate)


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak came to."""

    plan: SoakPlan
    requests: int
    errors: dict[str, int]
    wrong: int
    latencies_ms: Latencies | None
    p99_ms: Sequence[float | None]  # in even parts of the time
    cpu_ms: float  # of the server, a request
    growth: Growth  # after the warm-up
    resident_mb: Sequence[float]  # in even steps from start to end

    @classmethod
    def of(cls, plan: SoakPlan, sent: Sent, watch: Watch) -> Soaked:
        """Put together what the clients and the server's process tell."""
        outcomes = Counter(sample.outcome for sample in sent.samples)
        outcomes.pop(OK, None)
        wrong = outcomes.pop(WRONG, 0)
        return cls(
            plan=plan,
            requests=len(sent.samples),
            errors=dict(outcomes),
            wrong=wrong,
            latencies_ms=Latencies.of(sent.samples),
            p99_ms=_p99s(sent.samples),
            cpu_ms=round(1000 * watch.cpu_seconds / max(1, len(sent.samples)), 2),
            growth=Growth.of(_after_warm_up(watch.readings, plan.warm_up_share)),
            resident_mb=_course(watch.readings),
        )

    @property
    def flat(self) -> bool:
        """Whether memory grew no more than allowed."""
        return self.growth.bytes / MEGABYTE <= self.plan.growth_mb_max

    def document(self) -> dict[str, object]:
        """Return it as JSON knows it."""
        return {**asdict(self), "flat": self.flat}


def soak_table(soaked: Soaked) -> Table:
    """Return what people want to know of it."""
    shown = Table("soak", "", box=None, header_style="bold")
    course = soaked.resident_mb
    rows = {
        "requests": f"{soaked.requests} ({soaked.plan.form}) at {soaked.plan.rate:g}/s, {soaked.cpu_ms} ms CPU each",
        "errors": errors_text(soaked.errors),
        "wrong answers": str(soaked.wrong),
        "p99 ms": "-" if soaked.latencies_ms is None else f"{soaked.latencies_ms.p99:.1f}",
        "p99 ms, part by part": " ".join("-" if each is None else f"{each:.0f}" for each in soaked.p99_ms),
        "memory, MB": f"{course[0]:.0f} at the start, {max(course):.0f} at most, {course[-1]:.0f} at the end",
        "memory, MB, part by part": " ".join(f"{each:.0f}" for each in course[:: max(1, len(course) // 10)]),
        "growth after the warm-up": f"{soaked.growth.bytes / MEGABYTE:+.1f} MB, "
        f"{soaked.growth.bytes_per_hour / MEGABYTE:+.1f} MB an hour",
        "memory is flat": "yes" if soaked.flat else f"no: more than {soaked.plan.growth_mb_max:g} MB",
    }
    for row in rows.items():
        shown.add_row(*row)
    return shown


def _p99s(samples: Sequence[Sample]) -> list[float | None]:
    """Return the 99th percentile of each part of the samples, which are in the order of their ends."""
    bounds = [len(samples) * part // _PARTS for part in range(_PARTS + 1)]
    parts = [Latencies.of(samples[first:end]) for first, end in pairwise(bounds)]
    return [part and part.p99 for part in parts]


def _after_warm_up(readings: Sequence[Reading], share: float) -> Sequence[Reading]:
    start = readings[0].at + share * (readings[-1].at - readings[0].at)
    return [reading for reading in readings if reading.at >= start]


def _course(readings: Sequence[Reading]) -> list[float]:
    step = max(1, len(readings) // _POINTS)
    return [round(reading.resident_bytes / MEGABYTE, 1) for reading in (*readings[::step], readings[-1])]
