"""Puts a real server under load: how much it answers, how fast, how rightly; for how long; and when its parts break.

Each answer is compared with the one that the same server gave to the same clip before the load.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from load_testing.bench import Options, bench, known_clips
from load_testing.clients import Load
from load_testing.clips import Form, Mix, read_clips
from load_testing.faults import KINDS, FaultPlan, Kind, fault_table, run_faults
from load_testing.report import Result, table
from load_testing.service import breakable_service
from load_testing.soak import SoakPlan, soak_table
from rich.console import Console

TABLE_WIDTH = 160  # where no terminal says how wide it is
CLIENTS_MAX = 64
FORMS: tuple[Form, ...] = ("fingerprint", "audio")
CACHE = ("known", "new")
FAILED = 1  # exit code: wrong answers, memory that grows, broken promises

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def common(
    context: typer.Context,
    *,
    clips: Annotated[
        Path, typer.Option(exists=True, help="Folder of sound files: they and their fingerprints are sent.")
    ],
    data_dir: Annotated[
        Path | None,
        typer.Option(exists=True, help="Catalogue: a data folder that nobody uses. It is copied, the copy is served."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Ask this server instead; SONICA_API_KEY says as whom.")] = None,
    process_id: Annotated[int | None, typer.Option(help="Of --url's server, if it is to be watched.")] = None,
    clip_count: Annotated[int, typer.Option(min=1, help="Clips drawn from the folder.")] = 100,
    seed: Annotated[int, typer.Option(help="Draws other clips.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="That the clients run in.")] = 1,
    timeout_seconds: Annotated[float, typer.Option(min=0.1, help="After which a client gives up.")] = 30.0,
) -> None:
    """Take what all commands share."""
    context.obj = Options(clips, clip_count, seed, data_dir, url, process_id, processes, timeout_seconds)


JsonOut = Annotated[Path | None, typer.Option("--json", help="Write as JSON; - is stdout.")]
Seconds = Annotated[float, typer.Option(min=0.5, help="Of each load.")]
Clients = Annotated[int, typer.Option(min=1, max=CLIENTS_MAX, help="Requests under way at most.")]


@app.command()
def measure(
    context: typer.Context,
    *,
    clients: Annotated[list[int], typer.Option(min=1, max=CLIENTS_MAX, help="Each waits for its answer.")] = [1, 8, 64],  # noqa: B006
    rate: Annotated[list[float], typer.Option(min=0.1, help="Requests a second, come what may.")] = [],  # noqa: B006
    form: Annotated[list[str], typer.Option(help="fingerprint, audio")] = list(FORMS),  # noqa: B006
    cache: Annotated[list[str], typer.Option(help="known: it has the answers; new: it cannot")] = list(CACHE),  # noqa: B006
    seconds: Seconds = 10.0,
    json_out: JsonOut = None,
) -> None:
    """Throughput and latency by number of clients, and by rate; for each form of body, cached and not."""
    forms = cast(list[Form], form)
    kinds = [(each, kind == "new") for each, kind in product(forms, cache)]
    loads = [Load(count, seconds, each, fresh) for (each, fresh), count in product(kinds, clients)]
    loads += [Load(CLIENTS_MAX, seconds, each, fresh, per_second) for (each, fresh), per_second in product(kinds, rate)]
    console = _console(json_out)
    with bench(context.obj, forms, console) as opened:
        alone = opened.generator_alone(Load(CLIENTS_MAX, min(seconds, 3.0), forms[0], "new" in cache))
        _report(console, json_out, alone, opened.measured(loads))


@app.command()
def targets(context: typer.Context, *, seconds: Seconds = 20.0, json_out: JsonOut = None) -> None:
    """What is asked of two cores and a catalogue of 78 songs, and what was measured."""
    loads = {
        ">= 200 1/s": Load(16, seconds, fresh=True),
        ">= 1,500 1/s": Load(16, seconds),
        "p99 < 50 at 100/s": Load(CLIENTS_MAX, seconds, fresh=True, rate=100),
        "p99 < 50 at 750/s": Load(CLIENTS_MAX, seconds, rate=750),
        "p95 < 120 at 10/s": Load(CLIENTS_MAX, seconds, "audio", fresh=True, rate=10),
    }
    console = _console(json_out)
    with bench(context.obj, FORMS, console) as opened:
        alone = opened.generator_alone(Load(16, 3.0))
        _report(console, json_out, alone, opened.measured(list(loads.values())), wanted=list(loads))


@app.command()
def soak(
    context: typer.Context,
    *,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 60.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second, all never seen before.")] = 50.0,
    form: Annotated[str, typer.Option(help="fingerprint, audio, mixed")] = "fingerprint",
    clients: Clients = 16,
    warm_up_share: Annotated[float, typer.Option(min=0, max=0.9, help="Of the time, while caches fill.")] = 0.25,
    growth_mb_max: Annotated[float, typer.Option(help="After the warm-up; more is not flat.")] = 8.0,
    json_out: JsonOut = None,
) -> None:
    """Memory over time; fails where it is not flat, or an answer wrong. SONICA_CACHE_BYTES_MAX bounds the cache."""
    plan = SoakPlan(minutes, rate, clients, warm_up_share, growth_mb_max, cast(Mix, form))
    forms, console = FORMS if form == "mixed" else [cast(Form, form)], _console(json_out)
    with bench(context.obj, forms, console) as opened:
        soaked = opened.soaked(plan)
    _print(console, json_out, soak_table(soaked), {"soak": soaked.document()})
    raise typer.Exit(0 if soaked.flat and not soaked.wrong else FAILED)


@app.command()
def faults(
    context: typer.Context,
    *,
    kind: Annotated[list[str], typer.Option(help="kill, pause, restart")] = list(KINDS),  # noqa: B006
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second, all never seen before.")] = 20.0,
    clients: Clients = CLIENTS_MAX,
    away_seconds: Annotated[float, typer.Option(min=0, help="That a part is away.")] = 5.0,
    after_seconds: Annotated[float, typer.Option(min=1, help="From its return to the next fault.")] = 10.0,
    cache_ttl_seconds: Annotated[
        float, typer.Option(help="Of the server's memory: short, so that parts are asked.")
    ] = 1.0,
    json_out: JsonOut = None,
) -> None:
    """PostgreSQL and Redis killed, paused and restarted while songs are recognised, ingested and deleted."""
    options, console = cast(Options, context.obj), _console(json_out)
    if options.data_dir is None:
        raise typer.BadParameter("only a server that is started here has parts to break: --data-dir")
    clips = read_clips(options.clips, count=options.clip_count, seed=options.seed)
    plan = FaultPlan(clients, rate, away_seconds, after_seconds, cast(list[Kind], kind))
    settings = {"SONICA_CACHE_TTL_SECONDS": str(cache_ttl_seconds), "SONICA_CACHE_STALE_SECONDS": "0"}
    with breakable_service(options.data_dir, settings) as served:
        target = options.target(served.url)
        asked = known_clips(target, clips, FORMS[:1], console)
        with console.status("no fault yet") as status:
            damage = run_faults(served, target, asked, plan, on_fault=status.update)
    _print(console, json_out, fault_table(damage), {"faults": damage.document()})
    console.print(
        f"{damage.acknowledged} writes acknowledged, {damage.refused} not; broken: {damage.broken_promises or 0}"
    )
    raise typer.Exit(FAILED if damage.wrong or damage.broken_promises else 0)


def _console(json_out: Path | None) -> Console:
    return Console(stderr=json_out == Path("-"), width=None if sys.stdout.isatty() else TABLE_WIDTH)


def _report(
    console: Console, json_out: Path | None, alone: Result, results: Sequence[Result], *, wanted: Sequence[str] = ()
) -> None:
    document = {"generator_alone": alone.document(), "loads": [result.document() for result in results]}
    _print(console, json_out, table(results, wanted), document)
    console.print(f"The generator alone: {alone.per_second:,.0f}/s, {alone.generator_cpu_ms:.2f} ms CPU a request.")
    if any(result.wrong for result in results):
        raise typer.Exit(FAILED)


def _print(console: Console, json_out: Path | None, shown: Any, document: dict[str, object]) -> None:  # noqa: ANN401
    console.print(shown)
    text = json.dumps(document, indent=1)
    if json_out == Path("-"):
        print(text)
    elif json_out is not None:
        json_out.write_text(text + "\n")


if __name__ == "__main__":
    app()
