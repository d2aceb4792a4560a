"""Lays out the Python Worker as it is deployed: the entry, and beside it the packages that it imports.

wrangler runs this before it looks (`build.command`): a Worker's modules lie below its entry's folder.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

WORKER = Path(__file__).resolve().parent
REPOSITORY = WORKER.parents[1]
FINGERPRINT = REPOSITORY / "wasm" / "sonica_fingerprint"
_NOT_DEPLOYED = frozenset({"entry.py", "stage.py"})


def stage(folder: Path) -> list[Path]:
    """Write the Worker's modules into an emptied folder; return what was written."""
    shutil.rmtree(folder, ignore_errors=True)
    package = folder / "edge_functions" / "cloudflare_worker"
    sources = {WORKER.parent / name: package.parent / name for name in ("__init__.py", "traceparent.py")}
    sources |= {WORKER / "entry.py": folder / "entry.py"}
    sources |= {path: package / path.name for path in WORKER.glob("*.py") if path.name not in _NOT_DEPLOYED}
    sources |= {path: folder / path.relative_to(FINGERPRINT.parent) for path in FINGERPRINT.rglob("*.py")}
    for source, target in sources.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return sorted(sources.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=WORKER / "build")
    stage(parser.parse_args().folder)
