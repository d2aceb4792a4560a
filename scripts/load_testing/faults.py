"""Kills, pauses and restarts what a server depends on, under load, and tells what the requests noticed of it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Event
from typing import Literal, TypeAlias

import httpx
from rich.table import Table

from load_testing.clients import OK, WRONG, Load, Sample, Target
from load_testing.generator import Generator
from load_testing.parts import Part
from load_testing.report import Latencies, errors_text
from load_testing.service import Service
from load_testing.truth import Asked
from load_testing.writes import broken_promises, writing

Kind: TypeAlias = Literal["none", "kill", "pause", "restart"]
KINDS: tuple[Kind, ...] = ("kill", "pause", "restart")
_POLL_SECONDS = 0.02
_BEGIN_SECONDS_MAX = 60.0
_READY_SECONDS_MAX = 1.0  # that an answer of /readyz may take


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How it is asked, how long a part is away, and how long the service has afterwards."""

    clients: int
    rate: float
    away_seconds: float
    after_seconds: float
    kinds: Sequence[Kind] = KINDS


@dataclass(frozen=True, slots=True)
class Fault:
    """What happened to a part, and when; whole_at: when /readyz missed nothing any more."""

    part: str
    kind: Kind
    broken_at: float
    mended_at: float
    whole_at: float | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What the requests due from a fault to the next one came to."""

    part: str
    kind: Kind
    requests: int
    errors: dict[str, int]
    wrong: int
    latencies_ms: Latencies | None
    away_seconds: float
    ready_after_seconds: float | None  # the part was back; None: not within the time
    failing_after_seconds: float  # the part was back; until the last request that failed


@dataclass(frozen=True, slots=True)
class Damage:
    """What all faults together did."""

    effects: Sequence[Effect]
    acknowledged: int  # writes
    refused: int
    broken_promises: Sequence[str]

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return sum(sum(effect.errors.values()) for effect in self.effects)

    @property
    def wrong(self) -> int:
        """Requests with a wrong answer."""
        return sum(effect.wrong for effect in self.effects)

    def document(self) -> dict[str, object]:
        """Return it as JSON knows it."""
        return asdict(self)


def run_faults(
    service: Service, target: Target, asked: Asked, plan: FaultPlan, *, on_fault: Callable[[str], None] = lambda _: None
) -> Damage:
    """Break each part in each way while recognitions and writes go on."""
    load = Load(plan.clients, math.inf, fresh=True, rate=plan.rate)
    songs = [clip.backwards() for clip in asked.clips]
    with (
        Generator(target, asked) as generator,
        ThreadPoolExecutor(1) as background,
        writing(service, songs) as ledger,
    ):
        begun = Event()
        sending = background.submit(generator.send, load, on_progress=lambda answered: answered and begun.set())
        try:
            begun.wait(_BEGIN_SECONDS_MAX)
            faults = [Fault("", "none", time.monotonic(), time.monotonic(), None)]
            time.sleep(plan.after_seconds)
            for part in service.parts:
                for kind in plan.kinds:
                    on_fault(f"{kind} {part.name}")
                    faults.append(_broken(service.url, part, kind, plan))
        finally:
            generator.end()
        samples = sending.result().samples
    broken = broken_promises(service.url, ledger)
    return Damage(_effects(faults, samples), len(ledger.added) + len(ledger.deleted), ledger.refused, broken)


def fault_table(damage: Damage) -> Table:
    """Return a row a fault."""
    titles = (
        "fault",
        "requests",
        "failed",
        "wrong",
        "p50 ms",
        "p99",
        "max",
        "away s",
        "ready after s",
        "failing after s",
    )
    shown = Table(*titles, box=None, header_style="bold")
    for column in shown.columns[1:]:
        column.justify = "right"
    for effect in damage.effects:
        times = effect.latencies_ms
        latencies = ["-"] * 3 if times is None else [f"{each:.0f}" for each in (times.p50, times.p99, times.max)]
        ready = "-" if effect.ready_after_seconds is None else f"{effect.ready_after_seconds:.2f}"
        rest = (f"{effect.away_seconds:.1f}", ready, f"{effect.failing_after_seconds:.2f}")
        name = f"{effect.kind} {effect.part}".strip()
        shown.add_row(name, str(effect.requests), errors_text(effect.errors), str(effect.wrong), *latencies, *rest)
    return shown


def _broken(url: str, part: Part, kind: Kind, plan: FaultPlan) -> Fault:
    """Break a part, mend it, and wait until the service is whole, and then for the rest of its time."""
    broken_at = time.monotonic()
    with _away(part, kind):
        time.sleep(plan.away_seconds)
    mended_at = time.monotonic()
    whole_at = None
    ends_at = mended_at + plan.after_seconds
    with httpx.Client(base_url=url, timeout=_READY_SECONDS_MAX) as client:
        while whole_at is None and time.monotonic() < ends_at:
            whole_at = time.monotonic() if _whole(client) else None
            time.sleep(_POLL_SECONDS)
    time.sleep(max(0.0, ends_at - time.monotonic()))
    return Fault(part.name, kind, broken_at, mended_at, whole_at)


@contextmanager
def _away(part: Part, kind: Kind) -> Iterator[None]:
    """Have a part away; whatever happens meanwhile, it comes back."""
    breaking, mending = {
        "kill": (part.kill, part.start),
        "pause": (part.pause, part.resume),
        "restart": (part.stop, part.start),
    }[kind]
    breaking()
    try:
        yield
    finally:
        mending()


def _whole(client: httpx.Client) -> bool:
    try:
        ready = client.get("/readyz")
    except httpx.HTTPError:
        return False
    return ready.status_code == 200 and not ready.json()["degraded"]


def _effects(faults: Sequence[Fault], samples: Sequence[Sample]) -> list[Effect]:
    starts = [fault.broken_at for fault in faults] + [float("inf")]
    return [
        _effect(fault, [sample for sample in samples if start <= sample.ended - sample.seconds < end])
        for fault, start, end in zip(faults, starts, starts[1:], strict=False)
    ]


def _effect(fault: Fault, samples: Sequence[Sample]) -> Effect:
    outcomes = Counter(sample.outcome for sample in samples)
    outcomes.pop(OK, None)
    wrong = outcomes.pop(WRONG, 0)
    last_failed = max((sample.ended for sample in samples if sample.outcome not in (OK, WRONG)), default=0.0)
    return Effect(
        part=fault.part,
        kind=fault.kind,
        requests=len(samples),
        errors=dict(outcomes),
        wrong=wrong,
        latencies_ms=Latencies.of(samples),
        away_seconds=round(fault.mended_at - fault.broken_at, 2),
        ready_after_seconds=None if fault.whole_at is None else round(fault.whole_at - fault.mended_at, 2),
        failing_after_seconds=round(max(0.0, last_failed - fault.mended_at), 2),
    )
