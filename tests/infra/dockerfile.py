"""Reads a Dockerfile into its stages: no more of its language than ours uses."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: what it is from, its instructions in order."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def arguments(self, instruction: str) -> list[str]:
        """Return what stands behind each instruction of this name."""
        return [argument for name, argument in self.instructions if name == instruction]

    def copied(self) -> list[str]:
        """Return the paths that it copies from the context."""
        return [
            source
            for argument in self.arguments("COPY")
            if not argument.startswith("--from")
            for source in argument.split()[:-1]
        ]


def stages(path: Path) -> dict[str, Stage]:
    """Return the stages by name."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    found: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, _, argument = line.partition(" ")
        if instruction == "FROM":
            base, _, name = argument.split()
            current = found[name] = Stage(name, base)
        elif instruction not in ("", "ARG"):
            current.instructions.append((instruction, argument.strip()))
    return found


def environment(stage: Stage) -> dict[str, str]:
    """Return the variables that a stage sets."""
    pairs = [pair for argument in stage.arguments("ENV") for pair in shlex.split(argument)]
    return dict(pair.split("=", 1) for pair in pairs)


def health_check(stage: Stage) -> list[str]:
    """Return the command that says whether the container is well."""
    (argument,) = stage.arguments("HEALTHCHECK")
    command: list[str] = json.loads(argument.partition("CMD ")[2])
    return command
