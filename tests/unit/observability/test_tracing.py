"""Spans, as a collector on the loopback receives them."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import sonica_fingerprint

from backend.observability.tracing import Tracing
from tests.clips import encoded
from tests.collector import Collector, attributes
from tests.music import make_music
from tests.origins import SONG_SECONDS, serving

HEARD = make_music(2, SONG_SECONDS)[8 * 16_000 : 13 * 16_000]
CLIP = encoded(HEARD[:, np.newaxis], rate_hz=16_000)
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = (f"00-{TRACE_ID}-{PARENT_ID}-{flags}" for flags in ("01", "00"))


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


async def test_every_step_is_a_span_of_the_callers_trace_when_a_clip_is_recognized(
    tmp_path: Path, collector: Collector
) -> None:
    async with serving(tmp_path, otlp_endpoint=collector.url, otlp_share=0) as client:
        response = await client.post("/v1/recognize", content=CLIP, headers={"traceparent": SAMPLED})
    assert response.json()["status"] == "match"

    request = collector.named("POST /v1/recognize")
    names = {span.span_id: span.name for span in collector.spans}
    assert {span.name: names.get(span.parent_span_id) for span in collector.spans} == {
        "POST /v1/recognize": None,
        "recognize": "POST /v1/recognize",
        "decode": "recognize",
        "extract": "recognize",
        "cache": "recognize",
        "search": "cache",
        "verify": "cache",
        "catalogue": "cache",
    }
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
    assert request.parent_span_id.hex() == PARENT_ID
    told = attributes(request)
    assert (told["http.request.method"], told["http.route"]) == ("POST", "/v1/recognize")
    assert (told["http.response.status_code"], told["sonica.request_id"]) == (200, response.json()["request_id"])
    assert (told["sonica.outcome"], told["sonica.cache"]) == ("match", "miss")
    (resource,) = {
        each.value.string_value
        for each in collector.exports[0].resource_spans[0].resource.attributes
        if each.key == "service.name"
    }
    assert resource == "sonica"


async def test_steps_that_were_not_taken_are_no_spans_when_the_answer_is_kept(
    tmp_path: Path, collector: Collector
) -> None:
    fingerprint = sonica_fingerprint.encode(sonica_fingerprint.extract(HEARD))
    headers = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}
    async with serving(tmp_path, otlp_endpoint=collector.url) as client:
        for traceparent in (UNSAMPLED, SAMPLED):
            await client.post("/v1/recognize", content=fingerprint, headers=headers | {"traceparent": traceparent})

    assert sorted(span.name for span in collector.spans) == ["POST /v1/recognize", "cache"]


async def test_share_decides_when_the_caller_does_not(tmp_path: Path, collector: Collector) -> None:
    async with serving(tmp_path, otlp_endpoint=collector.url, otlp_share=0) as client:
        await client.get("/v1/songs/1")
    assert collector.spans == []

    async with serving(tmp_path, otlp_endpoint=collector.url, otlp_share=1) as client:
        await client.get("/v1/songs/1")
        await client.get("/livez")
    assert [span.name for span in collector.spans] == ["GET /v1/songs/{song_id}"]


async def test_span_tells_the_error_when_a_step_fails(tmp_path: Path, collector: Collector) -> None:
    async with serving(tmp_path, otlp_endpoint=collector.url) as client:
        await client.post("/v1/recognize", content=b"no audio at all")

    assert collector.named("decode").status.message.startswith("UnsupportedAudio")
    assert attributes(collector.named("POST /v1/recognize"))["sonica.code"] == "unsupported_audio"


@pytest.mark.parametrize("failing", ["nobody listens", "nobody answers", "refuses"])
async def test_requests_are_answered_when_the_collector_is_away(tmp_path: Path, failing: str) -> None:
    async with away(failing) as url, serving(tmp_path, otlp_endpoint=url) as client:
        statuses = [(await client.get("/v1/songs/1")).status_code for _ in range(600)]  # more than a batch

    assert set(statuses) == {200}


@asynccontextmanager
async def away(failing: str) -> AsyncIterator[str]:
    """Yield the URL of a collector that takes nothing."""
    if failing == "refuses":
        with Collector(status=500) as collector:
            yield collector.url
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if failing == "nobody answers":
            listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def trace(tracing: Tracing) -> None:
    with tracing.request({}):
        pass


def test_spans_are_sent_at_once_when_they_are_flushed(collector: Collector) -> None:
    tracing = Tracing(collector.url, share=1, version="1")
    for number in range(3):
        trace(tracing)
        tracing.flush()
        assert len(collector.spans) == number + 1
    tracing.close()


async def test_collector_is_left_alone_when_it_did_not_take_what_was_flushed() -> None:
    async with away("nobody answers") as url:
        tracing = Tracing(url, share=1, version="1")
        flushes: list[None] = []
        tracing._provider.force_flush = lambda: flushes.append(None) or stuck.wait()  # type: ignore[assignment,func-returns-value]
        stuck = threading.Event()
        for _ in range(5):
            trace(tracing)
            tracing.flush()
        stuck.set()
        tracing.close()

    assert len(flushes) == 1


def test_no_exporter_is_loaded_when_no_collector_is_named(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from backend.app import create_app
from backend.settings import Settings
create_app(Settings(data_dir=Path(sys.argv[1])))
print([name for name in sys.modules if name.startswith("opentelemetry.exporter")])
"""
    run = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
