"""`sonica index build --hot`: the most popular songs in one file for the edge."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.output import print_json, shown, stderr, stdout

if TYPE_CHECKING:
    from backend.composition import Origin
    from backend.settings import Settings

FILE_NAME = "hot-index.bundle"  # in the data folder
KV_VALUE_BYTES_MAX = 25 * 1024 * 1024  # of Cloudflare KV; R2 takes more, a Worker has 128 MB in all


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle on disk."""

    file: str
    index_version: str
    asked: int
    songs: int
    segments: int
    bytes: int
    sha256: str


async def write_hot_bundle(settings: Settings, count: int, output: Path | None) -> Written:
    """Write the bundle of the most popular songs; raises NotReady for an empty catalogue, StorageUnavailable."""
    from sonica_fingerprint.bundle import read_bundle

    from backend.composition import open_origin

    path = output or settings.data_dir / FILE_NAME
    async with open_origin(settings) as origin:
        body = await make_hot_bundle(origin, count)
    _put_in_place(path, body)
    bundle = read_bundle(body)
    return Written(
        file=str(path),
        index_version=str(bundle.details["index_version"]),
        asked=count,
        songs=bundle.songs,
        segments=bundle.segments,
        bytes=len(body),
        sha256=bundle.sha256,
    )


async def make_hot_bundle(origin: Origin, count: int) -> bytes:
    """Return the bundle of the most popular songs; raises NotReady for an empty catalogue."""
    from rich.progress import track

    from backend.errors import NotReady
    from backend.search.hot_bundle import EDGE_FALSE_ACCEPT_RATE, make_bundle

    settings = origin.settings
    limits = {
        "clip_seconds_max": settings.clip_seconds_max,
        "candidates_max": settings.candidates_max,
        "false_accept_rate": min(EDGE_FALSE_ACCEPT_RATE, settings.false_accept_rate),
    }
    songs = await origin.catalogue.popular(count)
    if not songs:
        raise NotReady("the catalogue has no songs yet: take some in by `sonica ingest`")
    console = stderr()
    by_id = sorted(songs, key=lambda song: song.id)
    counted = track(by_id, "bundle", console=console, disable=not console.is_terminal)
    return await asyncio.to_thread(make_bundle, origin.index, counted, limits=limits)


def show_bundle(written: Written, *, as_json: bool) -> None:
    """Print what was written."""
    if as_json:
        print_json(asdict(written))
        return
    fewer = f" (the catalogue has no more; {written.asked:,} were asked for)" if written.songs < written.asked else ""
    console = stdout()
    console.print(f"{shown(written.file)}: {written.songs:,} songs{fewer}, {written.segments:,} segments")
    console.print(f"{written.bytes / 1e6:,.1f} MB of index {written.index_version}, SHA-256 {written.sha256}")
    if written.bytes > KV_VALUE_BYTES_MAX:
        stderr().print("It is larger than Cloudflare KV takes (25 MiB a value): keep it in R2, or take fewer songs.")


def _put_in_place(path: Path, body: bytes) -> None:
    """Whoever reads the path meanwhile reads the old bundle or the new one, whole."""
    from backend.errors import StorageUnavailable

    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(body)
        partial.replace(path)
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it is in place, or was never there
            partial.unlink()
