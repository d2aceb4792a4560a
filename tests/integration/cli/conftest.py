"""A catalogue for the commands, in a database of the shared server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from backend.cli.main import app


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs commands in this process."""

    folder: Path

    def run(self, *arguments: str | Path, stdin: bytes | None = None) -> Result:
        """Run a command; errors that no one foresaw are raised."""
        return CliRunner().invoke(app, [*map(str, arguments)], input=stdin, catch_exceptions=False)

    def lines(self, *arguments: str | Path, exit_code: int = 0) -> list[dict[str, Any]]:
        """Run a command and return the JSON lines that it prints."""
        result = self.run(*arguments)
        assert result.exit_code == exit_code, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def commands(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands over an empty catalogue."""
    monkeypatch.setenv("SONICA_DATABASE_URL", database_url)
    monkeypatch.setenv("SONICA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SONICA_INGEST_WORKERS", "1")  # a second one costs more to start than these songs need
    monkeypatch.setenv("COLUMNS", "200")
    return Commands(tmp_path)
