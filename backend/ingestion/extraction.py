"""What a worker process does with one file: decode, extract, read the tags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sonica_fingerprint import SEGMENT_MS, Extractor, Fingerprint

from backend.audio.files import read_blocks
from backend.audio.limits import DecoderLimits
from backend.errors import SilentSong, SongTooShort, SonicaError, UnreadableFile
from backend.ingestion.files import FileState, state_of
from backend.ingestion.tags import described
from backend.models import CATALOGUE_THINNING, SongDetails


@dataclass(frozen=True, slots=True)
class Job:
    """A file to extract, as it was when its bytes were hashed."""

    path: Path
    details: SongDetails
    state: FileState
    limits: DecoderLimits
    stem: str | None = None  # of an object, whose copy at `path` has another name


@dataclass(frozen=True, slots=True)
class Extracted:
    """A song without a place in the catalogue yet: its external_id may be blank."""

    details: SongDetails
    fingerprint: Fingerprint  # thinned as the catalogue stores it


def fingerprint_of(path: Path, limits: DecoderLimits) -> Fingerprint:
    """Return the fingerprint of a whole file at full density; raises as `extract_song` does."""
    extractor = Extractor()
    try:
        for block in read_blocks(path, limits=limits):
            extractor.push(block)
    except OSError as error:
        raise UnreadableFile(error.strerror) from error
    return extractor.finish()


def extract_song(job: Job) -> Extracted:
    """Read the file once, in constant memory.

    Raises UnusableSong, UnsupportedAudio, UndecodableAudio, DecoderUnavailable; SonicaError for what no one
    foresaw, so that one odd file never ends an ingest.
    """
    try:
        fingerprint = _audible(fingerprint_of(job.path, job.limits))
        details = described(job.details, job.path, stem=job.stem)
        if state_of(job.path) != job.state:
            raise UnreadableFile("it changed while it was read")
    except SonicaError:
        raise
    except Exception as error:
        raise SonicaError(f"{type(error).__name__}: {error}") from error
    return Extracted(details, fingerprint.thinned(CATALOGUE_THINNING))


def _audible(fingerprint: Fingerprint) -> Fingerprint:
    if fingerprint.segments == 0:
        raise SongTooShort(f"{fingerprint.duration_ms} ms; at least {SEGMENT_MS} ms are needed")
    if fingerprint.silent:
        raise SilentSong()
    return fingerprint
