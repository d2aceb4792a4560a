"""Ingests and deletes songs beside a load, remembers what was acknowledged, and looks in the end whether it holds."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from measurement.product import run_sonica
from sonica_fingerprint import CONTENT_TYPE, encode

from load_testing.clips import Clip
from load_testing.service import Service

_PAUSE_SECONDS = 0.2  # between writes: it is the recognitions' test, too
_REQUEST_SECONDS_MAX = 30.0
_CAUGHT_UP_SECONDS_MAX = 60.0
_DELETE_EVERY = 3
_PAGE = 200


@dataclass(slots=True)
class Ledger:
    """Songs by external id: acknowledged as added, as deleted, and those of which no answer came."""

    added: dict[str, Clip] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    refused: int = 0

    @property
    def standing(self) -> dict[str, Clip]:
        """Songs that must be there."""
        return {name: clip for name, clip in self.added.items() if name not in self.deleted | self.unknown}


class Writer:
    """Writes as a user would: `sonica ingest` of one file after the other, DELETE over HTTP of every third."""

    def __init__(self, service: Service, songs: Sequence[Clip], folder: Path) -> None:
        self.ledger = Ledger()
        self._service = service
        self._songs = songs
        self._folder = folder

    def write_until(self, ended: threading.Event) -> None:
        """Write the songs, each once, and one at least that is acknowledged if there is any way."""
        for number, song in enumerate(self._songs):
            self._ingest(f"load-{number}", song)
            if number % _DELETE_EVERY == _DELETE_EVERY - 1:
                self._delete(f"load-{number - 1}")
            if ended.wait(_PAUSE_SECONDS) and self.ledger.added:
                return

    def _ingest(self, name: str, song: Clip) -> None:
        path = self._folder / f"{name}.wav"
        path.write_bytes(song.wav())
        try:
            lines = run_sonica(["ingest", str(path)], data_dir=self._service.data_dir, settings=self._service.settings)
        except subprocess.CalledProcessError:
            lines = []
        if any(line["outcome"] == "added" for line in lines):
            self.ledger.added[name] = song
        else:
            self._not_acknowledged(name)

    def _delete(self, name: str) -> None:
        if name not in self.ledger.standing:
            return
        try:
            with httpx.Client(base_url=self._service.url, timeout=_REQUEST_SECONDS_MAX) as client:
                (song,) = client.get("/v1/songs", params={"external_id": name}).raise_for_status().json()["items"]
                client.delete(f"/v1/songs/{song['id']}").raise_for_status()
        except httpx.HTTPError:
            self._not_acknowledged(name)
        else:
            self.ledger.deleted.add(name)

    def _not_acknowledged(self, name: str) -> None:
        self.ledger.unknown.add(name)
        self.ledger.refused += 1


@contextmanager
def writing(service: Service, songs: Sequence[Clip]) -> Iterator[Ledger]:
    """Write these songs until the context ends; yield what is acknowledged."""
    ended = threading.Event()
    with tempfile.TemporaryDirectory(prefix="sonica-load-songs-") as folder:
        writer = Writer(service, songs, Path(folder))
        with ThreadPoolExecutor(1) as background:
            written = background.submit(writer.write_until, ended)
            try:
                yield writer.ledger
            finally:
                ended.set()
        written.result()


def broken_promises(url: str, ledger: Ledger) -> list[str]:
    """Return what was acknowledged and does not hold: in the catalogue, and in what recognitions say."""
    with httpx.Client(base_url=url, timeout=_REQUEST_SECONDS_MAX) as client:
        _wait_until_caught_up(client)
        there = Counter(_external_ids(client))
        promises = [f"{name} is lost" for name in ledger.standing if there[name] == 0]
        promises += [f"{name} is there twice" for name in ledger.added if there[name] > 1]
        promises += [f"{name} was deleted and is there" for name in ledger.deleted if there[name]]
        for name, clip in ledger.added.items():
            found = name in _recognized(client, clip)
            if name in ledger.standing and not found:
                promises.append(f"{name} is not recognised")
            if name in ledger.deleted and found:
                promises.append(f"{name} was deleted and is recognised")
    return promises


def _wait_until_caught_up(client: httpx.Client) -> None:
    ends_at = time.monotonic() + _CAUGHT_UP_SECONDS_MAX
    while time.monotonic() < ends_at:
        ready = client.get("/readyz")
        if ready.status_code == 200 and ready.json()["revisions_behind"] == 0:
            return
        time.sleep(0.1)
    raise TimeoutError("the index does not catch up")


def _external_ids(client: httpx.Client) -> Iterator[str]:
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/songs", params={"limit": _PAGE, **cursor}).raise_for_status().json()
        yield from (song["external_id"] for song in page["items"])
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def _recognized(client: httpx.Client, clip: Clip) -> list[str]:
    headers = {"Content-Type": CONTENT_TYPE}
    answer = client.post("/v1/recognize", content=encode(clip.fingerprint), headers=headers).raise_for_status().json()
    return [match["song"]["external_id"] for match in answer["matches"]]
