"""Sonica, by its command, as a user runs it."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from measurement.product import COMMAND, run_sonica
from measurement.scoring import Answer, read_answers

from peers.system import Songs, Watch


class Sonica:
    """`sonica ingest` and `sonica recognize` on a data folder."""

    name = "Sonica"
    about = "`sonica ingest` and `sonica recognize` of this checkout"

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def ingest(self, songs: Songs, watch: Watch) -> None:
        """Learn all songs; the command shows its own progress."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        manifest = self._data_dir / "songs.csv"
        with manifest.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("uri", "external_id", "title"))
            table.writerows((path, song, path.stem) for song, path in songs.items())
        run_sonica(["ingest", str(manifest)], data_dir=self._data_dir)

    def ask(self, clips: Sequence[str]) -> dict[str, Answer]:
        """Return the best candidate for each file."""
        answers = self._data_dir / "answers.jsonl"
        lines = run_sonica(["recognize", *clips], data_dir=self._data_dir)
        answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return read_answers(answers)

    def index_bytes(self) -> int:
        """Return the size of the search index."""
        command = [*COMMAND, "index", "status", "--json", "--data-dir", str(self._data_dir)]
        status = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return int(status["bytes"])
