"""`sonica recognize`: names the songs in audio files, with the catalogue here or through a server."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.answers import Answer, Ask, print_answer, to_line
from backend.cli.options import DataDir, Json, Jsonl, settings_from
from backend.cli.output import Exit, print_json, reporting
from backend.cores import cores

if TYPE_CHECKING:
    from backend.settings import Settings


class Send(StrEnum):
    """What goes to a server."""

    FINGERPRINT = "fingerprint"
    AUDIO = "audio"


def recognize(  # noqa: PLR0913, PLR0917  # a command's parameters are its options
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Audio or .snfp files; - is stdin.", show_default=False),
    ],
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask this server in place of the catalogue here.")
    ] = None,
    send: Annotated[
        Send, typer.Option(help="To the server: 1 kB a second, nobody can play it; or the file as it is.")
    ] = Send.FINGERPRINT,
    data_dir: DataDir = None,
    as_json: Json = False,
    jsonl: Jsonl = False,
) -> None:
    """Name the song in each audio file, and where in the song it is.

    The first 20 seconds are used (SONICA_CLIP_SECONDS_MAX). Exit code 0: at least one song was found;
    3: none was; 4: some files could not be read; 1: none could.
    """
    with reporting(as_json=as_json or jsonl):
        settings = settings_from(data_dir)
        statuses: Counter[str] = Counter()
        lines: list[dict[str, object]] = []

        def show(answer: Answer) -> None:
            statuses[answer.status] += 1
            if as_json:
                lines.append(to_line(answer))
            elif jsonl:
                print_json(to_line(answer))
            else:
                print_answer(answer)

        asking = _asking(server, settings, send=send, as_json=as_json or jsonl)
        asyncio.run(_recognize(files, asking, show=show))
        if as_json:
            print_json({"results": lines})
        raise typer.Exit(_exit_code(statuses))


async def _recognize(
    files: Sequence[str], asking: AbstractAsyncContextManager[Ask], *, show: Callable[[Answer], None]
) -> None:
    async with asking as ask, aclosing(_in_order(files, ask)) as answers:
        async for answer in answers:
            show(answer)


async def _in_order(files: Sequence[str], ask: Ask) -> AsyncGenerator[Answer]:
    """Ask about a file for each core at a time; yield the answers in the order of the files."""
    under_way: deque[asyncio.Task[Answer]] = deque()
    try:
        for file in files:
            under_way.append(asyncio.ensure_future(ask(file)))
            if len(under_way) > cores():
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()


def _asking(server: str | None, settings: Settings, *, send: Send, as_json: bool) -> AbstractAsyncContextManager[Ask]:
    if server is not None:
        from backend.cli.remote_recognition import remote_recognition

        fingerprints = send is Send.FINGERPRINT
        return remote_recognition(server, settings, fingerprints=fingerprints, as_json=as_json)
    from backend.cli.local_recognition import local_recognition

    return local_recognition(settings)


def _exit_code(statuses: Counter[str]) -> Exit:
    if statuses["error"]:
        return Exit.ERROR if statuses["error"] == statuses.total() else Exit.SOME_FAILED
    return Exit.OK if statuses["match"] else Exit.NO_MATCH
