"""What a system under comparison does, and what the machine spends on it."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from measurement.scoring import Answer

Songs = Mapping[str, Path]  # id -> file
Watch = Callable[..., Iterable[Any]]  # rich.progress.track, for what takes long: watch(steps, total=...)

_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)


class System(Protocol):
    """Something that learns songs and then names clips."""

    name: str  # in tables
    about: str  # what it is, whose, under which licence

    def ingest(self, songs: Songs, watch: Watch) -> None:
        """Learn all songs."""
        ...

    def ask(self, clips: Sequence[str]) -> dict[str, Answer]:
        """Return the best candidate for each file."""
        ...

    def index_bytes(self) -> int:
        """Return the size of what it learned."""
        ...


class NotInstalled(Exception):
    """A program that a comparison needs is not on PATH; says what to install."""


def program(name: str, package: str) -> str:
    """Return the path of a program on PATH."""
    if path := shutil.which(name):
        return path
    raise NotInstalled(f"{name} is not on PATH: install {package}")


def adopt_orphans() -> None:
    """Become the parent of descendants whose parents end, so that a database server's CPU is ours to count.

    Linux only; elsewhere such servers go uncounted.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of all its descendants that ended; call it while no child runs."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
