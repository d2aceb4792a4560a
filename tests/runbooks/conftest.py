"""A region on this machine: a real database, real server processes, bundles in a stand-in for S3."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sonica_fingerprint import extract
from typer.testing import CliRunner

from backend.catalogue.postgres import PostgresCatalogue
from backend.cli.main import app
from backend.cli.output import Exit
from tests.acceptance.sonica_process import Sonica
from tests.aws import Aws, running_aws
from tests.factories import make_new_song
from tests.music import make_music, write_clip

SONGS = 3
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Region:
    """A catalogue of three songs, and the environment in which commands find it."""

    sonica: Sonica
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a runbook's commands are run with."""
        return {"SONICA_DATA_DIR": str(self.sonica.data_dir), "SONICA_INGEST_WORKERS": "1"} | self.sonica.settings

    def command(self, *arguments: str, exit_code: Exit = Exit.OK) -> dict[str, Any]:
        """Run a command in this process, which saves a start; return the document that it prints."""
        result = CliRunner().invoke(app, [*arguments, "--json"], env=self.environment, catch_exceptions=False)
        assert result.exit_code == exit_code, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def clip(self, seed: int) -> Path:
        """Write a noisy cut of a song."""
        return write_clip(self.folder / f"clip-{seed}.wav", seed, start_seconds=2.0)


@pytest.fixture
async def region(postgres_catalogue: PostgresCatalogue, database_url: str, tmp_path: Path) -> Region:
    """A region with a database of its own."""
    for seed in range(1, SONGS + 1):
        await postgres_catalogue.put(make_new_song(seed, fingerprint=extract(make_music(seed)).thinned(4)))
    return Region(Sonica(tmp_path / "data", {"SONICA_DATABASE_URL": database_url}), tmp_path)


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    """A stand-in for S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # or it writes to what a command had for stderr
    with running_aws() as running:
        yield running


@pytest.fixture
def bundle_settings(aws: Aws, tmp_path: Path) -> dict[str, str]:
    """Where bundles are published, and the keys that sign them."""
    bucket = f"bundles-{abs(hash(tmp_path))}"
    aws.make_bucket(bucket)
    keys = Region(Sonica(tmp_path / "none"), tmp_path).command("bundles", "keygen", str(tmp_path / "signing.pem"))
    return aws.environment | {
        "SONICA_BUNDLE_URL": f"s3://{bucket}/sonica",
        "SONICA_BUNDLE_PRIVATE_KEY": str(tmp_path / "signing.pem"),
        "SONICA_BUNDLE_PUBLIC_KEYS": keys["public_key"],
        "SONICA_BUNDLE_POLL_SECONDS": "0.3",
    }


def recognized(url: str, clip: Path, *, key: str | None = None) -> list[tuple[int, str, int, float]]:
    """Return the id, external id, offset and score of what a server hears in a clip."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.post(f"{url}/v1/recognize", content=clip.read_bytes(), headers=headers, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200, answer.text
    return [
        (match["song"]["id"], match["song"]["external_id"], match["offset_ms"], match["score"])
        for match in answer.json()["matches"]
    ]


def wait_until(holds: Callable[[], bool]) -> None:
    """Return once it holds; fails after two minutes."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.05)
