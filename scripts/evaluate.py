"""Measures accuracy, cell by cell: of given answers, or of a whole trial made from a folder of songs."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from measurement.accuracy_table import accuracy_table, to_document
from measurement.reliability import Reliability, draw_reliability, reliability
from measurement.scoring import Query, read_answers, read_queries, score
from rich.console import Console

Rate = Annotated[float, typer.Option(min=0, max=1, help="Share of negatives that the gate lets through.")]
JsonOut = Annotated[Path | None, typer.Option("--json", help="Write the scores as JSON; - is stdout.")]
Baseline = Annotated[Path | None, typer.Option(exists=True, help="Show gains on these scores.")]
WriteBaseline = Annotated[Path | None, typer.Option(help="Keep the scores as a baseline.")]
Diagram = Annotated[Path | None, typer.Option(help="Draw score against outcome into this PNG; needs matplotlib.")]


TABLE_WIDTH = 110  # where no terminal says how wide it is

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command("score")
def score_answers(
    queries: Annotated[Path, typer.Argument(exists=True, help="JSON list of {path, cell, song, offset_s}.")],
    answers: Annotated[Path, typer.Argument(exists=True, help="What `sonica recognize --jsonl` printed.")],
    *,
    rate: Rate = 0.01,
    json_out: JsonOut = None,
    baseline: Baseline = None,
    write_baseline: WriteBaseline = None,
    diagram: Diagram = None,
) -> None:
    """Score answers of `sonica recognize --jsonl`."""
    outputs = (json_out, write_baseline)
    _report(read_queries(queries), answers, rate=rate, baseline=baseline, outputs=outputs, diagram=diagram)


@app.command()
def run(
    corpus: Annotated[list[str], typer.Argument(help="Folders, lists or manifests, as for `sonica ingest`.")],
    *,
    held_out: Annotated[float, typer.Option(min=0, max=0.9, help="Share of songs kept as negatives.")] = 0.25,
    per_cell: Annotated[int, typer.Option(min=1, help="Queries a cell.")] = 60,
    seed: Annotated[int, typer.Option(help="Another seed draws other cuts, rooms and noises.")] = 1,
    keep: Annotated[Path | None, typer.Option(help="Keep catalogue, clips and answers in this folder.")] = None,
    rate: Rate = 0.01,
    json_out: JsonOut = None,
    baseline: Baseline = None,
    write_baseline: WriteBaseline = None,
    diagram: Diagram = None,
) -> None:
    """Ingest most of a corpus, ask for degraded cuts of all of it, and score the answers.

    Needs the `lab` extra, and espeak-ng for voices.
    """
    from measurement.product import run_sonica
    from measurement.trial import make_queries, prepare_corpus

    from backend.audio.limits import DecoderLimits
    from backend.cli.options import settings_from

    limits = DecoderLimits.from_settings(settings_from(None))
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sonica-evaluation-")))
        songs = prepare_corpus(corpus, folder / "data", held_out=held_out, limits=limits)
        console = Console(stderr=True)
        console.print(f"{len(songs.known)} songs in the catalogue, {len(songs.unknown)} held out")
        queries = make_queries(songs, folder / "clips", per_cell=per_cell, seed=seed, limits=limits)
        console.print(f"Asking {len(queries)} questions ...")
        lines = run_sonica(["recognize", *(query.path for query in queries)], data_dir=folder / "data")
        answers = folder / "answers.jsonl"
        answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
        outputs = (json_out, write_baseline)
        _report(queries, answers, rate=rate, baseline=baseline, outputs=outputs, diagram=diagram)


def _report(
    queries: list[Query],
    answers: Path,
    *,
    rate: float,
    baseline: Path | None,
    outputs: tuple[Path | None, ...],
    diagram: Path | None,
) -> None:
    given = read_answers(answers)
    scores, honesty = score(queries, given, rate=rate), reliability(queries, given)
    document = json.dumps(to_document(scores) | _calibration(honesty), indent=1)
    to_stdout = Path("-") in outputs
    console = Console(stderr=to_stdout, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    before = json.loads(baseline.read_text())["cells"] if baseline else {}
    console.print(accuracy_table(scores, baseline=before))
    if scores.unanswered or scores.failed:
        console.print(f"{scores.unanswered} queries without an answer, {scores.failed} unreadable: counted as misses")
    if honesty:
        console.print(f"expected calibration error of the score: {honesty.expected_calibration_error:.3f}")
        if diagram:
            draw_reliability(honesty, diagram)
    if to_stdout:
        print(document)
    for path in outputs:
        if path and path != Path("-"):
            path.write_text(document + "\n")


def _calibration(honesty: Reliability | None) -> dict[str, object]:
    return {"calibration": asdict(honesty)} if honesty else {}


def main() -> None:
    """Run; `evaluate.py QUERIES.json ANSWERS` is short for `evaluate.py score QUERIES.json ANSWERS`."""
    arguments = sys.argv[1:]
    is_short = bool(arguments) and arguments[0].endswith(".json")
    app(["score", *arguments] if is_short else arguments)


if __name__ == "__main__":
    main()
