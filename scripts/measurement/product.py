"""Runs the `sonica` command as a user would, in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-c", "from backend.cli.main import main; main()")
_OK = 0
_NO_MATCH = 3
_SOME_FAILED = 4
_STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Server:
    """A running `sonica serve`."""

    url: str
    process_id: int
    startup_seconds: float  # until it says where it listens


def run_sonica(
    arguments: Sequence[str], *, data_dir: Path, settings: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Run a command with --jsonl and return its lines; raises CalledProcessError when it could not do its work.

    settings: `SONICA_*` variables beside those of this process.
    """
    command = [*COMMAND, arguments[0], "--jsonl", "--data-dir", str(data_dir), *arguments[1:]]
    environment = os.environ | (settings or {})
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode not in (_OK, _NO_MATCH, _SOME_FAILED):
        raise subprocess.CalledProcessError(done.returncode, command[:4])
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def serving(data_dir: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Serve a data folder on a free port for as long as the context lasts; settings as for `run_sonica`."""
    command = [*COMMAND, "serve", "--port", "0", "--json", "--data-dir", str(data_dir)]
    environment = os.environ | (settings or {})
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            announced = json.loads(process.stdout.readline() or "{}")
            startup_seconds = time.perf_counter() - started
            if "url" not in announced:
                why = announced.get("detail", "it ended without a word")
                raise RuntimeError(f"`sonica serve --data-dir {data_dir}` does not start: {why}")
            yield Server(announced["url"], process.pid, startup_seconds)
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)
