"""A runbook's commands, run as they stand in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "runbooks"
BIN = Path(sys.executable).parent  # where `sonica` is
_BLOCK = re.compile(r"^( *)```sh( cluster)?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Runbook:
    """The commands that a machine with `sonica` runs, a step each, and those for a cluster."""

    name: str
    text: str
    steps: tuple[str, ...]
    for_clusters: tuple[str, ...]

    @classmethod
    def read(cls, name: str) -> Runbook:
        """Read docs/runbooks/NAME.md."""
        text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
        found = [(bool(cluster), textwrap.dedent(script)) for _, cluster, script in _BLOCK.findall(text)]
        here, there = (tuple(script for kind, script in found if kind is cluster) for cluster in (False, True))
        return cls(name, text, here, there)

    def run(self, step: int, environment: Mapping[str, str]) -> str:
        """Run a step to its end, each command of it having to succeed; return what it prints."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SONICA_")}
        path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["sh", "-euc", self.steps[step]],
            env=kept | path | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{self.steps[step]}{done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout
