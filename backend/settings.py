"""Every setting, from the environment (`SONICA_*`) and nowhere else; each limit says why it is what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The settings of the origin and of the `sonica` command."""

    model_config = SettingsConfigDict(env_prefix="SONICA_", env_ignore_empty=True, frozen=True, extra="ignore")

    data_dir: Path = Field(Path("data"), description="Folder of the embedded database and the index snapshots.")
    database_url: str | None = Field(
        None, description="PostgreSQL to use, `postgresql://...`; unset starts the embedded one in the data folder."
    )
    database_pool_max: int = Field(
        8,
        ge=1,
        description="Database connections at most; two serve two cores, eight leave room for listings.",
    )
    database_timeout_seconds: float = Field(5.0, gt=0, description="A statement that takes longer is given up.")

    host: str = Field("127.0.0.1", description="Address to serve on; there is no authentication yet, so loopback.")
    port: int = Field(8000, ge=0, le=65535, description="Port to serve on.")

    body_bytes_max: int = Field(
        10_000_000, ge=1, description="Largest request body; 20 s of stereo 48 kHz 24-bit WAV is 5.8 MB."
    )
    clip_seconds_max: float = Field(
        20.0, gt=0, description="Seconds of a clip that are used; more adds cost, no accuracy."
    )
    request_seconds_max: float = Field(15.0, gt=0, description="Deadline of a request, upload included.")
    concurrent_requests_max: int = Field(
        64, ge=1, description="Recognitions under way at most; further ones get 503. Each holds up to 20 MB."
    )

    concurrent_decodes_max: int | None = Field(
        None,
        ge=1,
        description="Clips decoded at a time, others wait; unset takes one for each core, more would share it.",
    )
    decoder_seconds_max: float = Field(8.0, gt=0, description="Time that the ffmpeg subprocess may take.")
    decoder_memory_bytes_max: int = Field(
        1_000_000_000, ge=1, description="Address space that the ffmpeg subprocess may take."
    )
    ffmpeg_path: str | None = Field(
        None, description="The ffmpeg to run; unset takes the system's, else the bundled one."
    )

    song_seconds_max: float = Field(
        3 * 3600.0, gt=0, description="Longest file that `sonica ingest` takes; longer ones are mixes, not songs."
    )
    ingest_workers: int | None = Field(
        None, ge=1, description="Processes that `sonica ingest` decodes and extracts in; unset takes one for each core."
    )
    ingest_save_seconds: float = Field(
        600.0,
        gt=0,
        description="How often a long ingest saves the index; a crash costs at most this much catching up.",
    )

    candidates_max: int = Field(24, ge=1, description="Alignments verified for each query.")
    false_accept_rate: float = Field(
        0.01,
        ge=0.0001,
        le=0.05,
        description="Share of clips of no song here that may get an answer; README has how it was measured.",
    )
    hnsw_search_depth: int = Field(256, ge=8, description="HNSW efSearch: larger finds more, slower.")
    index_poll_seconds: float = Field(2.0, gt=0, description="How often a server looks for catalogue changes.")

    cache_entries_max: int = Field(10_000, ge=0, description="Answers kept in memory; about 4 kB each.")
    cache_ttl_seconds: float = Field(300.0, gt=0, description="How long a match is kept.")
    cache_no_match_ttl_seconds: float = Field(
        30.0, gt=0, description="How long a no-match is kept: the song may be added meanwhile."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least severe of what is logged."
    )
