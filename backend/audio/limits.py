"""How much audio, and of what form, the decoders take."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import UnsupportedAudio
from backend.settings import Settings


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """The bounds of every decoder; most are settings, the rest are facts about audio."""

    clip_seconds_max: float
    song_seconds_max: float
    decoder_seconds_max: float  # that ffmpeg may take for each clip_seconds_max of audio
    decoder_memory_bytes_max: int
    ffmpeg_path: str | None = None
    channels_max: int = 32  # the largest studio beds have 24; libsndfile would allocate for 1024
    rate_hz_min: int = 4_000  # telephones have 8 000; below 4 000 nothing of music is left
    rate_hz_max: int = 384_000  # the fastest converters sold

    @classmethod
    def from_settings(cls, settings: Settings) -> DecoderLimits:
        """Take the bounds that are settings from there."""
        return cls(
            clip_seconds_max=settings.clip_seconds_max,
            song_seconds_max=settings.song_seconds_max,
            decoder_seconds_max=settings.decoder_seconds_max,
            decoder_memory_bytes_max=settings.decoder_memory_bytes_max,
            ffmpeg_path=settings.ffmpeg_path,
        )

    def check_form(self, *, rate_hz: int, channels: int) -> None:
        """Raise UnsupportedAudio for a rate or a number of channels outside of the bounds."""
        if not self.rate_hz_min <= rate_hz <= self.rate_hz_max:
            raise UnsupportedAudio(f"{rate_hz} Hz: between {self.rate_hz_min} and {self.rate_hz_max} Hz are read")
        if not 1 <= channels <= self.channels_max:
            raise UnsupportedAudio(f"{channels} channels: between 1 and {self.channels_max} are read")
