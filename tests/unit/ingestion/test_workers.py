"""Extraction in worker processes, over real ones."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from backend.audio.limits import DecoderLimits
from backend.errors import (
    SilentSong,
    SongTooLong,
    SongTooShort,
    SonicaError,
    UndecodableAudio,
    UnreadableFile,
    UnsupportedAudio,
    WorkerCrashed,
)
from backend.ingestion.extraction import Extracted, Job, extract_song
from backend.ingestion.files import state_of
from backend.ingestion.workers import Workers
from backend.models import SongDetails
from backend.settings import Settings
from tests.factories import make_fingerprint


def job(path: Path, **settings: object) -> Job:
    limits = DecoderLimits.from_settings(Settings(**settings))
    return Job(path, SongDetails(external_id="", title=""), state_of(path), limits)


def noise(path: Path, *, seconds: float, level: float = 0.3) -> Path:
    samples = np.random.default_rng(1).normal(0, level, int(seconds * 16_000)).astype(np.float32)
    soundfile.write(path, samples, 16_000)
    return path


def crash_on_name(job: Job) -> Extracted:
    """Die as a decoder that writes where it must not does, or survive the second time."""
    if job.path.name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if job.path.name.startswith("flaky") and not job.path.with_suffix(".tried").exists():
        job.path.with_suffix(".tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Extracted(SongDetails(external_id="", title=job.path.stem), make_fingerprint(1))


async def test_song_is_extracted_thinned_in_a_worker(tmp_path: Path) -> None:
    async with Workers(1) as workers:
        extracted = await workers.extract(job(noise(tmp_path / "A - B.wav", seconds=4)))
    assert (extracted.details.artist, extracted.details.title) == ("A", "B")
    assert extracted.fingerprint.thinning == 4
    assert extracted.fingerprint.duration_ms == 4000
    assert extracted.fingerprint.segments == 7  # starts at -256, 256, ... 2816 of 4 s and its edges


async def test_crash_fails_that_file_alone(tmp_path: Path) -> None:
    names = ["a", "crash", "b", "c", "d"]
    for name in names:
        (tmp_path / name).touch()
    async with Workers(2, extract=crash_on_name) as workers:
        results = await asyncio.gather(
            *(workers.extract(job(tmp_path / name)) for name in names), return_exceptions=True
        )
    assert isinstance(results[1], WorkerCrashed)
    survivors = [result.details.title for result in results if isinstance(result, Extracted)]
    assert survivors == ["a", "b", "c", "d"]


async def test_file_is_tried_again_alone_when_its_worker_died(tmp_path: Path) -> None:
    (tmp_path / "flaky").touch()
    async with Workers(1, extract=crash_on_name) as workers:
        extracted = await workers.extract(job(tmp_path / "flaky"))
    assert (extracted.details.title, (tmp_path / "flaky.tried").exists()) == ("flaky", True)


@pytest.mark.parametrize(
    ("seconds", "level", "error"),
    [(0.5, 0.3, SongTooShort), (3, 0.0, SilentSong), (12, 0.3, SongTooLong)],
)
def test_unusable_song_says_why(tmp_path: Path, seconds: float, level: float, error: type[SonicaError]) -> None:
    path = noise(tmp_path / "a.wav", seconds=seconds, level=level)
    with pytest.raises(error):
        extract_song(job(path, song_seconds_max=10))


def test_what_is_no_audio_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEbroken")
    with pytest.raises(UndecodableAudio):
        extract_song(job(tmp_path / "a.wav"))
    (tmp_path / "b.mp3").write_text("not audio")
    with pytest.raises(UnsupportedAudio):
        extract_song(job(tmp_path / "b.mp3"))


def test_file_that_changed_since_it_was_hashed_is_refused(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.wav", seconds=2)
    before = job(path)
    noise(path, seconds=3)
    with pytest.raises(UnreadableFile, match="changed"):
        extract_song(before)


def test_vanished_file_is_unreadable(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.wav", seconds=2)
    before = job(path)
    path.unlink()
    with pytest.raises(UnreadableFile):
        extract_song(before)


HOLD_A_WORKER = """
import asyncio, time
from backend.ingestion.workers import Workers

async def main():
    async with Workers(1, extract=time.sleep) as workers:
        waiting = asyncio.create_task(workers.extract(60))
        await asyncio.sleep(1.5)
        print("ready", flush=True)
        await waiting

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "hold.py"
    script.write_text(HOLD_A_WORKER)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=_environment()) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert workers
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
