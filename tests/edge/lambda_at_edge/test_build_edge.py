from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import build_edge
import pytest
from build_edge import Staged
from edge_benchmarks.runtime_api import RUNS_HERE

from edge_functions.lambda_at_edge.settings import Settings, load

ROOT = Path(__file__).parents[3]


def test_zips_are_the_same_when_they_are_built_again(staged: dict[str, Staged], tmp_path: Path) -> None:
    again = build_edge.stage(tmp_path, build_edge.baked_settings([]))

    assert {each.path.stem: each.sha256 for each in again} == {name: each.sha256 for name, each in staged.items()}


def test_zips_hold_what_their_functions_need_and_fit_when_they_are_built(staged: dict[str, Staged]) -> None:
    for name, each in staged.items():
        names = zipfile.ZipFile(each.path).namelist()
        assert names == sorted(names)
        assert f"edge_functions/lambda_at_edge/{name}.py" in names
        assert (build_edge.EXTENSION in names) == (name == "origin_request")
        assert each.path.stat().st_size == each.zip_bytes <= each.zip_max
        assert not [path for path in names if path.startswith(("backend", "tests", "/"))]
    assert staged["viewer_request"].zip_max == 1_000_000


@pytest.mark.skipif(not RUNS_HERE, reason="the zips are for Linux on x86_64")
def test_functions_import_nothing_that_they_lack_when_they_start_alone(
    staged: dict[str, Staged], unzipped: dict[str, Path]
) -> None:
    for name, each in staged.items():
        module, _, attribute = each.handler.rpartition(".")
        program = f"import sys; sys.path.insert(0, {str(unzipped[name])!r}); import {module} as found; "
        program += f"print(found.__file__, callable(found.{attribute}))"
        command = [sys.executable, "-I", "-S", "-c", program]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert Path(printed[0]).is_relative_to(unzipped[name])
        assert printed[1] == "True"


def test_settings_are_baked_in_when_they_are_given(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(build_edge.baked_settings(["clip_bytes_max=5", "clip_seconds_max=1.5"]))

    assert load(path) == Settings(clip_bytes_max=5, clip_seconds_max=1.5)
    assert load(tmp_path / "missing.json") == Settings()


@pytest.mark.parametrize("change", ["clip_size=5", "clip_bytes_max", "clip_bytes_max=five"])
def test_setting_is_refused_when_there_is_none_of_it(change: str) -> None:
    with pytest.raises(SystemExit, match="clip_bytes_max"):
        build_edge.baked_settings([change])


def test_zip_is_refused_when_it_is_over_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_edge, "FUNCTIONS", (build_edge.Function("viewer_request", 5_000),))
    monkeypatch.setattr(build_edge, "compiled_kernel", lambda _: b"")

    with pytest.raises(SystemExit, match="AWS takes 5000"):
        build_edge.stage(tmp_path, build_edge.baked_settings([]))


def test_command_prints_a_document_when_asked(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/build_edge.py", "--output", tmp_path, "--json"]
    staged = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)

    assert [Path(each["path"]).exists() for each in staged] == [True] * 3
    assert {each["handler"].rpartition(".")[2] for each in staged} == {"handler"}
