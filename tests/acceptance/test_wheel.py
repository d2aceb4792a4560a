"""The wheel holds all that the program reads when it runs."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = {
    "backend/catalogue/queries.sql",
    "backend/search/codebooks.npz",
    "schemas/sql/migrations/0001_catalogue.sql",
    "sonica_fingerprint/_native.abi3.so",
    "sonica_fingerprint/calibration.json",
    "sonica_fingerprint/fingerprint.wasm",
    "sonica_fingerprint/py.typed",
}


def test_wheel_is_complete_and_for_every_later_python(tmp_path: Path) -> None:
    source = tmp_path / "source"
    copied = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(copied, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    options = ["-q", "--no-build-isolation", "--no-deps", "--disable-pip-version-check", "-w", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)

    wheel = next(tmp_path.glob("sonica-*.whl"))
    names = zipfile.ZipFile(wheel).namelist()

    assert "-cp311-abi3-" in wheel.name
    assert set(names) >= NEEDED
    assert not [name for name in names if name.startswith(("tests/", "scripts/"))]
