"""Dashboards and alerts: they name what there is to see, and a real Prometheus takes them."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.app import create_app
from backend.observability.metrics import Metrics
from backend.settings import Settings
from tests.clips import encoded
from tests.music import make_music
from tests.origins import SONG_SECONDS, client_of, open_in_memory_origin

FOLDER = Path(__file__).parents[2] / "infra" / "observability"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
HEARD = make_music(2, SONG_SECONDS)[8 * 16_000 : 13 * 16_000]
OF_PROMETHEUS = {"up", "ALERTS", "sonica:match_ratio:rate1h"}
_SELECTOR = re.compile(r"\b([a-zA-Z_:]+)\{([^}]*)\}")
_NAME = re.compile(r"\b(?:sonica|process)[_:][a-zA-Z0-9_:]+")
_START_SECONDS_MAX = 60.0

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: `apt-get install prometheus` has it"
)
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="Prometheus is missing: `apt-get install prometheus`"
)


@pytest.fixture
async def exposition(tmp_path: Path) -> str:
    """The metrics of a service that has seen a little of everything."""
    app = create_app(Settings(data_dir=tmp_path), open_origin=open_in_memory_origin)
    app.state.metrics.observe_exceeded("user")  # quotas take accounts, and those a database
    async with app.router.lifespan_context(app), client_of(app) as client:
        for clip in (HEARD, np.zeros(32_000, np.float32)):
            await client.post("/v1/recognize", content=encoded(clip[:, np.newaxis], rate_hz=16_000))
        await client.post("/v1/recognize", content=b"no audio")
        return (await client.get("/metrics")).text


def expressions(dashboard: Path) -> list[str]:
    """Return what a dashboard asks Prometheus, Grafana's variables filled in."""
    panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return [expression.replace("$__rate_interval", "1m").replace("$instance", ".*") for expression in asked]


def rules() -> list[str]:
    """Return the lines of the alerts that name metrics."""
    text = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if "summary:" not in line and "description:" not in line]


def asked_of_prometheus() -> list[str]:
    """Return every expression."""
    return [expression for dashboard in DASHBOARDS for expression in expressions(dashboard)] + rules()


def test_dashboards_can_be_told_apart() -> None:
    read = [json.loads(dashboard.read_text(encoding="utf-8")) for dashboard in DASHBOARDS]
    assert [dashboard["title"].removeprefix("Sonica: ") for dashboard in read] == [
        "business", "errors", "system", "user experience",
    ]  # fmt: skip
    assert len({dashboard["uid"] for dashboard in read}) == len(read)
    for dashboard in read:
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


async def test_every_metric_and_label_exists_when_a_dashboard_or_an_alert_names_it(exposition: str) -> None:
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)

    for expression in asked_of_prometheus():
        assert set(_NAME.findall(expression)) - OF_PROMETHEUS <= set(labels), expression
        for name, matchers in _SELECTOR.findall(expression):
            named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - {"job", "instance"}
            assert name in OF_PROMETHEUS or named <= labels[name], expression


@needs_promtool
def test_alerts_fire_when_they_should_and_not_otherwise() -> None:
    for arguments in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ):
        run = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


@needs_promtool
def test_metrics_are_named_after_the_conventions() -> None:
    exposition = Metrics().exposition()
    run = subprocess.run(["promtool", "check", "metrics"], input=exposition, capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")


def test_every_alert_has_a_test() -> None:
    alerts = re.findall(r"alert: (\w+)", (FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    tested = re.findall(r"alertname: (\w+)\n", (FOLDER / "alerts.test.yml").read_text(encoding="utf-8"))
    assert sorted(set(tested)) == sorted(alerts)


@needs_prometheus
async def test_prometheus_answers_every_dashboard_when_it_runs_on_our_files(exposition: str, tmp_path: Path) -> None:
    with serving_text(exposition) as target, running_prometheus(tmp_path / "prometheus", target) as prometheus:
        loaded = ask(prometheus, "rules")["groups"]
        wait_until(lambda: ask(prometheus, "query", query="up")["result"][0]["value"][1] == "1")
        wait_until(
            lambda: all(
                rule["health"] == "ok" for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]
            )
        )
        for dashboard in DASHBOARDS:
            for expression in expressions(dashboard):
                ask(prometheus, "query", query=expression)
        songs = ask(prometheus, "query", query='max(sonica_index_songs{job="sonica"})')["result"]

    assert sum(len(group["rules"]) for group in loaded) == "".join(rules()).count("expr:")
    assert songs[0]["value"][1] == "2"


def ask(prometheus: str, what: str, **query: str) -> dict[str, Any]:
    """Return what Prometheus answers."""
    answer = httpx.get(f"{prometheus}/api/v1/{what}", params=query).json()
    assert answer["status"] == "success" and "warnings" not in answer, (query, answer)
    data: dict[str, Any] = answer["data"]
    return data


def wait_until(holds: Any) -> None:
    """Wait until it holds, or answers at all."""
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (httpx.TransportError, IndexError):
            pass
        time.sleep(0.1)
    raise AssertionError("waited in vain")


@contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run a Prometheus on our files, with another target and in a hurry; yield its URL."""
    shutil.copytree(FOLDER, folder)
    config = (folder / "prometheus.yml").read_text(encoding="utf-8")
    (folder / "prometheus.yml").write_text(
        config.replace("127.0.0.1:8000", target).replace("15s", "500ms"), encoding="utf-8"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=folder, stderr=log, stdout=log) as process:
        try:
            wait_until(lambda: httpx.get(f"http://{address}/-/ready").status_code == 200)
            yield f"http://{address}"
        finally:
            process.terminate()


@contextmanager
def serving_text(text: str) -> Iterator[str]:
    """Serve a text at every path of the address that is yielded."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
