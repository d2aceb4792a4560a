"""The `sonica` command as a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STOPPING_SECONDS_MAX = 60.0  # requests under way have 15 s, then the index is saved and the database stopped
COMMAND = [sys.executable, "-c", "from backend.cli.main import main; main()"]


@dataclass(frozen=True, slots=True)
class Sonica:
    """Runs commands on a data folder with an embedded database of its own."""

    data_dir: Path
    settings: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command; its stdout is a pipe, its messages go to a file in the data folder's parent."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SONICA_")}
        environment |= {"SONICA_DATA_DIR": str(self.data_dir), "SONICA_INDEX_POLL_SECONDS": "0.2"} | self.settings
        with self.messages.open("a") as messages:
            return subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
            )

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command to its end and return the JSON lines that it prints."""
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, f"{process.returncode}: {output[-1000:]}{self.messages.read_text()[-3000:]}"
        return [json.loads(line) for line in output.splitlines()]

    @contextmanager
    def serving(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """Serve on a free port; give the process and its URL; end it in the end if it still runs."""
        with self.start("serve", "--port", "0", "--json") as server:
            assert server.stdout is not None
            try:
                line = server.stdout.readline()
                assert line, self.messages.read_text()[-3000:]
                yield server, json.loads(line)["url"]
            finally:
                server.terminate()
                try:
                    server.wait(STOPPING_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    server.kill()
                    raise

    def kill_database(self) -> None:
        """Kill the embedded database, as a power cut would."""
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = int((self.data_dir / "postgres/postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)

    @property
    def messages(self) -> Path:
        """What the commands wrote to stderr."""
        return self.data_dir.with_name("messages.txt")
