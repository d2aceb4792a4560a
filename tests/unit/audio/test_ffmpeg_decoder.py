from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from backend.audio.decode import decode
from backend.audio.limits import DecoderLimits
from backend.errors import DecoderUnavailable, UndecodableAudio
from backend.settings import Settings
from tests.clips import encoded, tone

LIMITS = DecoderLimits.from_settings(Settings())


def program(folder: Path, script: str) -> str:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_ffmpeg_is_killed_when_it_takes_too_long(tmp_path: Path) -> None:
    slow = replace(LIMITS, ffmpeg_path=program(tmp_path, "exec sleep 60"), decoder_seconds_max=0.2)

    with pytest.raises(UndecodableAudio, match=r"longer than 0\.2 s"):
        decode(encoded(tone(0.2), "aac"), limits=slow)

    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]


def test_ffmpeg_is_killed_when_it_lives_on_after_its_output(tmp_path: Path) -> None:
    lingering = program(tmp_path, "exec sleep 60 >&-")
    slow = replace(LIMITS, ffmpeg_path=lingering, decoder_seconds_max=0.2)

    with pytest.raises(UndecodableAudio, match=r"longer than 0\.2 s"):
        decode(encoded(tone(0.2), "aac"), limits=slow)

    assert not [child for child in psutil.Process().children() if child.name() == "sleep"]


def test_no_more_is_read_when_ffmpeg_does_not_stop(tmp_path: Path) -> None:
    endless = replace(LIMITS, ffmpeg_path=program(tmp_path, "exec cat /dev/zero"))

    assert len(decode(encoded(tone(0.2), "aac"), limits=endless)) == 20 * 16_000


def test_ffmpeg_gets_no_memory_when_it_asks_for_more_than_it_may(tmp_path: Path) -> None:
    greedy = program(tmp_path, "exec dd if=/dev/zero bs=200M count=1")
    poor = replace(LIMITS, ffmpeg_path=greedy, decoder_memory_bytes_max=100_000_000)

    with pytest.raises(UndecodableAudio):
        decode(encoded(tone(0.2), "aac"), limits=poor)


def test_error_says_what_to_do_when_there_is_no_ffmpeg(tmp_path: Path) -> None:
    missing = replace(LIMITS, ffmpeg_path=str(tmp_path / "missing"))

    with pytest.raises(DecoderUnavailable, match="SONICA_FFMPEG_PATH"):
        decode(encoded(tone(0.2), "aac"), limits=missing)


def test_environment_is_empty_when_ffmpeg_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONICA_DATABASE_URL", "postgresql://secret")
    spying = replace(LIMITS, ffmpeg_path=program(tmp_path, f"env > {tmp_path}/environment"))

    with pytest.raises(UndecodableAudio):
        decode(encoded(tone(0.2), "aac"), limits=spying)

    assert "secret" not in (tmp_path / "environment").read_text()


def test_no_file_stays_open_when_clips_were_refused() -> None:
    def descriptors() -> int:
        return psutil.Process().num_fds()

    before = descriptors()
    for _ in range(3):
        with pytest.raises(UndecodableAudio):
            decode(b"\x1a\x45\xdf\xa3" + bytes(100), limits=LIMITS)
    assert descriptors() == before
