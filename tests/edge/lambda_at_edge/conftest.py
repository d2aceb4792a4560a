from __future__ import annotations

import zipfile
from pathlib import Path

import build_edge
import pytest


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, build_edge.Staged]:
    """The zips as scripts/build_edge.py makes them, by function."""
    folder = tmp_path_factory.mktemp("edge")
    return {each.path.stem: each for each in build_edge.stage(folder, build_edge.baked_settings([]))}


@pytest.fixture(scope="session")
def unzipped(staged: dict[str, build_edge.Staged], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each function as AWS unpacks it."""
    folders = {name: tmp_path_factory.mktemp(name) for name in staged}
    for name, each in staged.items():
        zipfile.ZipFile(each.path).extractall(folders[name])
    return folders
