from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from backend.audio.decoder import Decoder
from backend.audio.limits import DecoderLimits
from backend.audio.pcm import PcmFormat
from backend.errors import UndecodableAudio
from backend.settings import Settings
from tests.clips import encoded, tone
from tests.unit.audio.test_ffmpeg_decoder import program

LIMITS = DecoderLimits.from_settings(Settings())


def running(folder: Path) -> int:
    return len(list(folder.glob("running.*")))


async def test_samples_come_as_from_decode_when_a_thread_decodes() -> None:
    decoder = Decoder(LIMITS, threads=1)

    assert len(await decoder.decode(encoded(tone(1.0)))) == 16_000
    assert len(await decoder.decode(bytes(16_000), pcm=PcmFormat(8_000))) == 16_000
    with pytest.raises(UndecodableAudio):
        await decoder.decode(b"")
    decoder.close()


async def test_other_work_goes_on_and_clips_wait_when_all_threads_decode_slowly(tmp_path: Path) -> None:
    """Each clip's ffmpeg waits until it is told to go on, and says that it runs."""
    script = f"mktemp {tmp_path}/running.XXXX >/dev/null; until [ -e {tmp_path}/go ]; do sleep 0.01; done; exit 0"
    limits = replace(LIMITS, ffmpeg_path=program(tmp_path, script), decoder_seconds_max=60)
    decoder = Decoder(limits, threads=2)
    clip = encoded(tone(0.2), "aac")
    slow = [asyncio.create_task(decoder.decode(clip)) for _ in range(40)]  # more than the default threads
    while running(tmp_path) < 2:
        await asyncio.to_thread(lambda: None)

    await asyncio.gather(*(asyncio.to_thread(lambda: None) for _ in range(100)))
    assert running(tmp_path) == 2

    decoder.close()
    (tmp_path / "go").touch()
    ends = await asyncio.gather(*slow, return_exceptions=True)
    assert [type(end) for end in ends].count(UndecodableAudio) == 2
    assert [type(end) for end in ends].count(asyncio.CancelledError) == 38
