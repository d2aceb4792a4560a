"""The edge in front of an origin that does as it is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from edge_benchmarks.cloudflare_host.edge import EdgeHost
from edge_benchmarks.cloudflare_host.engines import install_engines
from edge_benchmarks.cloudflare_host.hot_bucket import HotBucket

from backend.bundles.signatures import public_text
from tests.bundles import SIGNER
from tests.clips import encoded
from tests.edge.cloudflare.fake_origin import FakeOrigin
from tests.music import make_music

_seeds = itertools.count(1000)


@pytest.fixture(scope="session")
def _running_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeHost]:
    install_engines()
    host = EdgeHost(tmp_path_factory.mktemp("worker") / "build", public_keys=public_text(SIGNER))
    yield host
    host.close()


@pytest.fixture(scope="session")
def hot_bucket(_running_edge: EdgeHost) -> Iterator[HotBucket]:
    """The bucket of the hot indexes; the kernel Worker believes the key that signs."""
    bucket = HotBucket(_running_edge, SIGNER)
    yield bucket
    bucket.close()


@pytest.fixture(scope="session")
def _running_origin() -> Iterator[FakeOrigin]:
    origin = FakeOrigin()
    yield origin
    origin.close()


@pytest.fixture
def origin(_running_origin: FakeOrigin) -> FakeOrigin:
    """An origin that has not been asked anything, and recognizes every fingerprint."""
    _running_origin.reset()
    return _running_origin


@pytest.fixture
def edge(_running_edge: EdgeHost, origin: FakeOrigin) -> EdgeHost:
    """The edge in front of it."""
    _running_edge.set_variables(
        origin_url=origin.url, origin_seconds_max=5, stream_seconds_max=20, body_bytes_max=100_000, cors_origins="*"
    )
    return _running_edge


@pytest.fixture
def new_clip() -> Callable[[], bytes]:
    """Make a WAV file of three seconds that no test has sent yet."""
    return lambda: encoded(make_music(next(_seeds), 3.0)[:, None], rate_hz=16_000)


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """A folder to stage the Worker in."""
    return tmp_path / "build"
