"""Where words go: data to stdout, all else to stderr, errors as problems, outcomes as exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum

import typer
from rich.console import Console
from rich.markup import escape

from backend.errors import InvalidRequest, SonicaError, UnavailableError


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NO_MATCH = 3
    SOME_FAILED = 4
    AUTH = 5
    UNAVAILABLE = 6
    INTERRUPTED = 130


def stdout() -> Console:
    """Return the console for data that people read; rich leaves colour out where it does not belong."""
    return Console(highlight=False, soft_wrap=True)


def stderr() -> Console:
    """Return the console for progress and messages."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def shown(text: str) -> str:
    """Return text that the consoles print as it is: no markup in it, and bytes of a file's name that are no UTF-8."""
    return escape(text.encode("utf-8", "backslashreplace").decode())


def print_json(document: object) -> None:
    """Print a document on a line of stdout, at once: a reader may wait for it."""
    sys.stdout.write(json.dumps(document, default=str) + "\n")
    sys.stdout.flush()


def problem(error: SonicaError) -> dict[str, object]:
    """Return the error in the form that the HTTP API gives it (RFC 9457)."""
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    kind = f"/docs/errors#{error.code}"
    return {"type": kind, "title": title, "status": error.status, "code": error.code, "detail": error.detail}


def print_problem(found: Mapping[str, object], *, as_json: bool) -> None:
    """Print a problem: a document on stdout for programs, a line on stderr for people."""
    if as_json:
        print_json(found)
    else:
        stderr().print(f"[red]Error:[/] {shown(str(found.get('detail') or found.get('title')))}")


@contextmanager
def reporting(*, as_json: bool = False) -> Iterator[None]:
    """Turn what goes wrong into a problem and an exit code."""
    try:
        yield
    except SonicaError as error:
        print_problem(problem(error), as_json=as_json)
        raise typer.Exit(_exit_code(error)) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(Exit.INTERRUPTED) from error
    except BrokenPipeError as error:  # the reader has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails
        raise typer.Exit(Exit.ERROR) from error


def _exit_code(error: SonicaError) -> Exit:
    if isinstance(error, InvalidRequest):
        return Exit.USAGE
    return Exit.UNAVAILABLE if isinstance(error, UnavailableError) else Exit.ERROR
