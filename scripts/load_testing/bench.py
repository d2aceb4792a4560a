"""What every measurement starts with: the server, the clips and their true answers, the generator and its own speed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from backend.settings import Settings
from load_testing.clients import Load, Target
from load_testing.clips import Bodies, Clip, Form, read_clips
from load_testing.generator import Generator
from load_testing.null_server import null_server
from load_testing.report import Result, named
from load_testing.service import Service, service
from load_testing.soak import Soaked, SoakPlan
from load_testing.truth import Asked, ask, find_truth
from load_testing.watch import MEGABYTE, watching


@dataclass(frozen=True, slots=True)
class Options:
    """What all measurements share.

    data_dir, url: one of them. process_id: of the server at the url, None where it cannot be watched.
    """

    clips: Path
    clip_count: int
    seed: int
    data_dir: Path | None
    url: str | None
    process_id: int | None
    processes: int
    timeout_seconds: float

    def served(self) -> AbstractContextManager[Service]:
        """Serve the catalogue; or take the server that there is."""
        if self.url is not None:
            return nullcontext(Service(self.url, self.process_id))
        if self.data_dir is None:
            raise ValueError("a server is needed: --data-dir starts one, --url takes one that runs")
        return service(self.data_dir)

    def target(self, url: str) -> Target:
        """Return how to ask a server."""
        key = Settings().api_key
        headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        return Target(url, self.timeout_seconds, headers)


@dataclass(frozen=True, slots=True)
class Bench:
    """A server that answers, and a generator that knows what to expect."""

    service: Service
    target: Target
    asked: Asked
    generator: Generator
    console: Console

    def measured(self, loads: Sequence[Load]) -> list[Result]:
        """Send one load after the other."""
        return [self._measured(load) for load in loads]

    def soaked(self, plan: SoakPlan) -> Soaked:
        """Send a long load; the server's process must be known."""
        if self.service.process_id is None:
            raise ValueError("whose memory is to be watched: --process-id")
        with (
            progressing(self.console, "soak", plan.load.seconds) as on_progress,
            watching(self.service.process_id, every_seconds=1.0) as watch,
        ):

            def on_minute(minute: int, answered: int) -> None:
                megabytes = watch.readings[-1].resident_bytes / MEGABYTE
                self.console.print(f"{minute} min: {answered:,} answered, {megabytes:.1f} MB")

            told = by_minutes(on_progress, on_minute)
            sent = self.generator.send(plan.load, on_progress=told)
        return Soaked.of(plan, sent, watch)

    def generator_alone(self, load: Load) -> Result:
        """Send a load to a server that does nothing but repeat an answer: what comes out is the generator's bound."""
        answer = asyncio.run(self._answer(load.form))
        always = Asked(self.asked.clips, [self.asked.truths[0]] * len(self.asked.clips))
        with (
            null_server(json.dumps(answer).encode()) as url,
            Generator(replace(self.target, url=url), always) as generator,
            progressing(self.console, "the generator alone", load.seconds) as on_progress,
        ):
            return Result.of(generator.send(load, on_progress=on_progress), None)

    async def _answer(self, form: Form) -> dict[str, object]:
        async with self.target.connection() as connection:
            return await ask(connection, Bodies(self.asked.clips, form, fresh=False)(0))

    def _measured(self, load: Load) -> Result:
        process_id = self.service.process_id
        with (
            progressing(self.console, named(load), load.seconds) as on_progress,
            nullcontext() if process_id is None else watching(process_id) as watch,
        ):
            sent = self.generator.send(load, on_progress=on_progress)
        return Result.of(sent, watch)


@contextmanager
def bench(options: Options, forms: Sequence[Form], console: Console) -> Iterator[Bench]:
    """Serve, find out the true answers, and start the generator."""
    clips = read_clips(options.clips, count=options.clip_count, seed=options.seed)
    with options.served() as served:
        target = options.target(served.url)
        asked = known_clips(target, clips, forms, console)
        with Generator(target, asked, processes=options.processes) as generator:
            yield Bench(served, target, asked, generator, console)


def known_clips(target: Target, clips: Sequence[Clip], forms: Sequence[Form], console: Console) -> Asked:
    """Ask for each clip before there is load."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("the true answers", total=len(clips))
        asked = asyncio.run(
            find_truth(target.connection(), clips, forms, done=lambda: progress.update(task, advance=1))
        )
    if len(asked.clips) < len(clips):
        console.print(f"{len(clips) - len(asked.clips)} of {len(clips)} clips are left out: at the edge of acceptance.")
    return asked


def by_minutes(on_progress: Callable[[int], None], on_minute: Callable[[int, int], None]) -> Callable[[int], None]:
    """Return what passes on how many requests have been answered, and also says so once a minute from now."""
    started, minutes = time.monotonic(), 0

    def on_both(answered: int) -> None:
        nonlocal minutes
        on_progress(answered)
        if time.monotonic() - started >= 60 * (minutes + 1):
            minutes += 1
            on_minute(minutes, answered)

    return on_both


@contextmanager
def progressing(console: Console, what: str, seconds: float) -> Iterator[Callable[[int], None]]:
    """Show a bar for so many seconds; yield what is told how many requests have been answered."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[answered]} answered"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=seconds, answered=0)
        yield lambda answered: progress.update(task, completed=progress.tasks[0].elapsed or 0, answered=answered)
