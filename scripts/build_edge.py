"""Stages Lambda@Edge: a zip for each function, for python3.13 on Amazon Linux 2023 x86_64, the same bytes every time.

Usage: build_edge.py [--output dist/edge] [--set NAME=VALUE ...] [--json]
Settings (edge_functions/lambda_at_edge/settings.py) are baked in, for Lambda@Edge has no environment. A zip over the
limit that AWS sets is an error. The kernel is compiled by the pinned compiler and needs nothing of the build machine
but Python's headers (3.11 or newer, of Linux or macOS).
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "edge_functions/lambda_at_edge"
EXTENSION = "sonica_fingerprint/_native.abi3.so"
TARGET = "x86_64-linux-gnu.2.34"  # Amazon Linux 2023; Lambda@Edge takes no other architecture
SHARED = ("__init__", "cloudfront", "routes", "settings")
NOT_AT_THE_EDGE = {"client.py"}  # of sonica_fingerprint
TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
UNZIPPED_MAX = 250_000_000


@dataclass(frozen=True, slots=True)
class Function:
    """A function and the limit of its zip: 1 MB for viewers' events, 50 MB for the origin's."""

    name: str
    zip_max: int
    fingerprints: bool = False

    @property
    def handler(self) -> str:
        """What AWS calls."""
        return f"{PACKAGE.replace('/', '.')}.{self.name}.handler"


@dataclass(frozen=True, slots=True)
class Staged:
    """A zip that was written."""

    path: Path
    handler: str
    zip_bytes: int
    zip_max: int
    unzipped_bytes: int
    sha256: str


FUNCTIONS = (
    Function("viewer_request", 1_000_000),
    Function("origin_request", 50_000_000, fingerprints=True),
    Function("origin_response", 50_000_000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "edge")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting to bake in")
    parser.add_argument("--json", action="store_true", help="print a document in place of the table")
    arguments = parser.parse_args()
    staged = stage(arguments.output, baked_settings(arguments.set))
    if arguments.json:
        print(json.dumps([dataclasses.asdict(each) for each in staged], default=str))
    else:
        print_table(staged)


def stage(output: Path, settings: bytes) -> list[Staged]:
    """Write every zip. Raises SystemExit for one over its limit."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        kernel = compiled_kernel(Path(folder))
    return [_staged(function, output, settings, kernel) for function in FUNCTIONS]


def baked_settings(changes: list[str]) -> bytes:
    """Return settings.json: every setting, changed by NAME=VALUE. Raises SystemExit for one that there is not."""
    sys.path.insert(0, str(ROOT))
    from edge_functions.lambda_at_edge.settings import Settings

    try:
        given = {name: json.loads(value) for name, _, value in (change.partition("=") for change in changes)}
        settings = Settings(**given)
    except (TypeError, json.JSONDecodeError) as error:
        sys.exit(f"--set takes NAME=NUMBER of {', '.join(Settings._fields)}: {error}")
    return json.dumps(settings._asdict(), indent=1).encode() + b"\n"


def compiled_kernel(folder: Path) -> bytes:
    extension = folder / "_native.abi3.so"
    command = [sys.executable, ROOT / "scripts" / "build_kernel.py", "native", extension, "--target", TARGET]
    subprocess.run(command, check=True)
    return extension.read_bytes()


def _staged(function: Function, output: Path, settings: bytes, kernel: bytes) -> Staged:
    content = dict(_content(function, settings, kernel))
    body = zipped(content)
    unzipped = sum(map(len, content.values()))
    if len(body) > function.zip_max or unzipped > UNZIPPED_MAX:
        sys.exit(f"{function.name}: {len(body)} bytes zipped, {unzipped} unzipped; AWS takes {function.zip_max}")
    path = output / f"{function.name}.zip"
    path.write_bytes(body)
    digest = hashlib.sha256(body).hexdigest()
    return Staged(path, function.handler, len(body), function.zip_max, unzipped, digest)


def _content(function: Function, settings: bytes, kernel: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each file."""
    for path in ("edge_functions/__init__.py", "edge_functions/traceparent.py"):
        yield path, (ROOT / path).read_bytes()
    for module in (*SHARED, function.name):
        path = f"{PACKAGE}/{module}.py"
        yield path, (ROOT / path).read_bytes()
    yield f"{PACKAGE}/settings.json", settings
    yield "LICENSE", (ROOT / "LICENSE").read_bytes()
    if function.fingerprints:
        source = ROOT / "wasm"
        for path in sorted((source / "sonica_fingerprint").rglob("*.py")):
            if path.name not in NOT_AT_THE_EDGE:
                yield path.relative_to(source).as_posix(), path.read_bytes()
        yield EXTENSION, kernel


def zipped(content: dict[str, bytes]) -> bytes:
    """Return a zip that depends on paths and bytes alone."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(content):
            entry = zipfile.ZipInfo(path, TIMESTAMP)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o100644 << 16  # Lambda's user must be able to read it
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content[path], compresslevel=9)
    return file.getvalue()


def print_table(staged: list[Staged]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("zip", "bytes", "limit", "used", "unzipped", "sha256", "handler")
    for each in staged:
        used = f"{each.zip_bytes / each.zip_max:.1%}"
        sizes = (f"{each.zip_bytes:,}", f"{each.zip_max:,}", used, f"{each.unzipped_bytes:,}")
        table.add_row(each.path.name, *sizes, each.sha256[:12], each.handler)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
