"""The server under load: a `sonica serve` on a copy of a catalogue, with parts that can be broken where wanted."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measurement.product import serving

from load_testing.parts import Part, Postgres, Redis


@dataclass(frozen=True, slots=True)
class Service:
    """A server; settings: those by which commands use the same catalogue."""

    url: str
    process_id: int | None = None
    data_dir: Path = Path()
    settings: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()


@contextmanager
def copied(data_dir: Path) -> Iterator[Path]:
    """Copy a data folder that nobody uses to a temporary one; raises OSError where somebody does."""
    if (data_dir / "postgres/postmaster.pid").exists():
        raise OSError(f"the database in {data_dir} runs: stop whoever uses it, its copy would be torn")
    with tempfile.TemporaryDirectory(prefix="sonica-load-") as folder:  # short: a socket's path has 107 characters
        copy = Path(folder) / "data"
        subprocess.run(["cp", "-a", data_dir, copy], check=True)  # with their owners: PostgreSQL is particular
        yield copy


@contextmanager
def service(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Serve a copy of a data folder, as it is served by default."""
    with copied(data_dir) as copy, serving(copy, settings=settings) as server:
        yield Service(server.url, server.process_id, copy, settings or {})


@contextmanager
def breakable_service(data_dir: Path, settings: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Serve a copy of a data folder over a PostgreSQL and a Redis of its own."""
    with copied(data_dir) as copy, ExitStack() as stack:
        postgres, redis = Postgres(copy), Redis(copy.parent)
        for part in (postgres, redis):
            part.start()
            stack.callback(part.stop)
        given = {"SONICA_DATABASE_URL": postgres.url, "SONICA_REDIS_URL": redis.url, **(settings or {})}
        server = stack.enter_context(serving(copy, settings=given))
        yield Service(server.url, server.process_id, copy, given, (postgres, redis))
