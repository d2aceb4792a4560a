"""audfprint by Dan Ellis, the landmark recogniser of research, by the program that the package audfprint2 brings."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from measurement.scoring import Answer

from peers.system import Songs, Watch, program

_FOUND = re.compile(
    r"Matched (.+) [\d.]+ sec \d+ raw hashes as (.+) at +(-?[\d.]+) s with +(\d+) of +\d+ common hashes"
)
_LONGEST = ("--maxtime", "65536")  # in its frames: 25 min; its default of 6 min would wrap offsets in longer songs
_FLOOR = ("--min-count", "1")  # its default of 5 would hide what the gate is to decide on


class Audfprint:
    """The program `audfprint`, one run for all files; it aligns by the count of common hashes."""

    def __init__(self, folder: Path, *, density: int | None = None) -> None:
        """Keep the hash table in a folder.

        density: target of hashes a second; None leaves its default of 20.
        """
        self._program = program("audfprint", "the Python package audfprint2, and ffmpeg")
        self._table = folder / f"audfprint-{density}.pklz"
        self._density = ("--density", str(density)) if density else ()
        self._songs: dict[str, str] = {}  # file -> id
        self.name = f"audfprint -n {density}" if density else "audfprint"
        self.about = f"`audfprint` of the package audfprint2 (MIT), {density or 'its default of 20'} hashes a second"

    def ingest(self, songs: Songs, watch: Watch) -> None:
        """Learn all songs."""
        self._songs = {str(path): song for song, path in songs.items()}
        lines = self._run([*_LONGEST, "new", *self._songs])
        for _ in watch((line for line in lines if "ingesting #" in line), total=len(songs)):
            pass

    def ask(self, clips: Sequence[str]) -> dict[str, Answer]:
        """Return the candidate with the most common hashes for each file that has any."""
        found = filter(None, map(_FOUND.search, self._run([*_FLOOR, "match", *clips])))
        return dict(self._answer(*match.groups()) for match in found)

    def index_bytes(self) -> int:
        """Return the size of what it learned, compressed as it is kept."""
        return self._table.stat().st_size

    def _run(self, arguments: Sequence[str]) -> Iterator[str]:
        """Yield the lines that it logs."""
        command = [self._program, "--dbase", str(self._table), "--verbose", *self._density, *arguments]
        said: list[str] = []
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                yield line
        if process.returncode:
            sys.stderr.writelines(said[-5:])
            raise subprocess.CalledProcessError(process.returncode, command[:3])

    def _answer(self, clip: str, song: str, seconds: str, hashes: str) -> tuple[str, Answer]:
        return clip, Answer(song=self._songs[song], offset_ms=1000 * float(seconds), score=float(hashes))
