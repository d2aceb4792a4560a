from __future__ import annotations

import json
from datetime import datetime

from edge_functions.cloudflare_worker.messages import RequestHead, log_line

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def new_head(path="/v1/recognize", **headers):
    return RequestHead.of("POST", f"https://edge{path}", headers, new_id="a" * 32, trace_share=1)


def test_line_has_the_shape_of_the_origins_when_a_request_ends():
    head = new_head(traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-01", authorization="Bearer hush")

    text = log_line("request", head, status=200, duration_ms=4.2)

    line = json.loads(text)
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    assert line == {
        "level": "info", "logger": "sonica.edge", "event": "request", "request_id": "a" * 32, "trace_id": TRACE_ID,
        "span_id": head.trace.span_id, "parent_id": "b7ad6b7169203331",
        "method": "POST", "route": "/v1/recognize", "status": 200, "duration_ms": 4.2,
    }  # fmt: skip
    assert "hush" not in text


def test_line_names_a_new_trace_and_no_route_when_there_was_none():
    head = new_head("/made-up", traceparent="nonsense")
    line = json.loads(log_line("request_failed", head, level="error"))
    assert (line["route"], "parent_id" in line, line["level"]) == ("unrouted", False, "error")
    assert head.passed_on["traceparent"] == head.echoed["traceparent"] == f"00-{line['trace_id']}-{line['span_id']}-01"
