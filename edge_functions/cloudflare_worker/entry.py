"""The Python Worker as Cloudflare sees it: requests and bindings become values here, and here alone."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import js
from pyodide.ffi import JsException, JsProxy, to_js
from sonica_fingerprint.pcm import Pcm
from workers import WorkerEntrypoint, import_from_javascript

from edge_functions.cloudflare_worker.edge_cache import EdgeCache
from edge_functions.cloudflare_worker.errors import EdgeError, OriginTimeout, OriginUnavailable, RateLimited
from edge_functions.cloudflare_worker.messages import (
    Reply,
    RequestHead,
    json_reply,
    log_line,
    preflight_reply,
    problem_reply,
)
from edge_functions.cloudflare_worker.origin import Origin
from edge_functions.cloudflare_worker.recognize import EdgeRecognizer, readable
from edge_functions.cloudflare_worker.settings import Settings

Js: TypeAlias = Any  # JavaScript's, or on its way there


class Default(WorkerEntrypoint):
    """Takes every request of the route."""

    async def fetch(self, request: Js) -> Js:
        """Serve a request; whatever happens, the reply has its id and can be read by the page that asked."""
        request = getattr(request, "js_object", request)
        # The bindings as JavaScript has them: `self.env` wraps them, and would look at each byte of a buffer passed in.
        env = import_from_javascript("cloudflare:workers").env
        settings = Settings.from_variables(lambda name: getattr(env, name, None))
        head = _head(request, trace_share=settings.trace_share)
        try:
            response = await self._served(request, head, env, settings)
        except EdgeError as error:
            response = _response(problem_reply(error, head))
        except Exception:
            print(log_line("request_failed", head, level="error", exception=traceback.format_exc()))
            response = _response(problem_reply(EdgeError(), head))
        for name, value in (head.echoed | head.allowed(settings.cors_origins)).items():
            response.headers.set(name, value)
        return response

    async def _served(self, request: Js, head: RequestHead, env: Js, settings: Settings) -> Js:
        if head.preflight:
            return _response(preflight_reply())
        if (head.method, head.path) == ("GET", "/livez"):
            return _response(json_reply({"status": "alive", "tier": "edge"}))
        origin = _OriginHttp(settings)
        if not head.recognizes:
            return await origin.stream(request, head, request.body)
        await _admit(head, env, settings)
        body, rest = await _small_body(request, head, bytes_max=settings.body_bytes_max)
        if body is None:
            return await origin.stream(request, head, rest)
        return _response(await self._recognized(body, head, env, settings))

    async def _recognized(self, body: bytes, head: RequestHead, env: Js, settings: Settings) -> Reply:
        cache = EdgeCache(
            _DataCentreCache(settings.origin_url),
            _KeyValues(env.ANSWERS),
            match_ttl_seconds=settings.match_ttl_seconds,
            no_match_ttl_seconds=settings.no_match_ttl_seconds,
        )
        recognizer = EdgeRecognizer(
            kernel=_KernelWorker(env.KERNEL),
            cache=cache,
            origin=Origin(_OriginHttp(settings).post),
            clip_seconds_max=settings.clip_seconds_max,
        )
        started = time.perf_counter()
        outcome = await recognizer.recognize_clip(body, head)
        for name, answer in outcome.kept.items():
            self.ctx.waitUntil(cache.put(name, answer))
        duration_ms = round((time.perf_counter() - started) * 1000, 1)
        status, timings_ms = outcome.reply.status, outcome.timings_ms
        print(log_line("request", head, status=status, duration_ms=duration_ms, timings_ms=timings_ms))
        return outcome.reply


async def _admit(head: RequestHead, env: Js, settings: Settings) -> None:
    """Raise RateLimited for a client that has asked too often."""
    if not (await env.RATE_LIMITER.limit(_object({"key": head.client}))).success:
        raise RateLimited(retry_after_seconds=settings.rate_limit_seconds)


async def _small_body(request: Js, head: RequestHead, *, bytes_max: int) -> tuple[bytes | None, Any]:
    """Return a body that the edge reads, else None and what is to stream through.

    A stated length is believed when it is too large and never otherwise: one branch of the body is read up to the
    limit, the other still has all of it.
    """
    stated = head.headers.get("content-length", "0")
    large = not stated.isdecimal() or int(stated) > bytes_max
    if large or head.query or "content-encoding" in head.headers or not readable(head.content_type):
        return None, request.body
    if not request.body:
        return b"", None
    branch, rest = request.body.tee()
    reader, length = branch.getReader(), 0
    portions: list[bytes] = []
    while length <= bytes_max:
        portion = await reader.read()
        if portion.done:
            rest.cancel()
            return b"".join(portions), None
        portions.append(portion.value.to_bytes())
        length += len(portions[-1])
    reader.cancel()
    return None, rest


class _OriginHttp:
    """The origin over HTTP."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Return the reply to a whole body. Raises OriginTimeout, OriginUnavailable."""
        options = {"method": "POST", "headers": _object(headers), "body": to_js(body)}
        response = await self._fetched(path, options, seconds=self._settings.origin_seconds_max)
        with _origin_errors():
            content = (await response.arrayBuffer()).to_bytes()
        return Reply(response.status, content, _headers(response))

    async def stream(self, request: Js, head: RequestHead, body: Js) -> Js:
        """Return the response to a request as it streams in and out. Raises OriginTimeout, OriginUnavailable."""
        headers = js.Headers.new(request.headers)
        for name in ("content-length", "host", "tracestate"):  # the runtime says what is so; not of a broken trace
            headers.delete(name)
        for name, value in head.passed_on.items():
            headers.set(name, value)
        options = {"method": request.method, "headers": headers}
        if body:
            options |= {"body": body, "duplex": "half"}
        path = head.path + (f"?{head.query}" if head.query else "")
        response = await self._fetched(path, options, seconds=self._settings.stream_seconds_max)
        return js.Response.new(response.body, response)

    async def _fetched(self, path: str, options: Mapping[str, Js], *, seconds: float) -> Js:
        deadline = {"signal": js.AbortSignal.timeout(int(seconds * 1000)), "redirect": "manual"}
        with _origin_errors():
            return await js.fetch(self._settings.origin_url + path, _object({**options, **deadline}))


class _KernelWorker:
    """The kernel Worker, by RPC."""

    def __init__(self, binding: Js) -> None:
        self._binding = binding

    async def extract(self, pcm: Pcm, speed: float) -> bytes | None:
        form = {"form": pcm.form, "rate_hz": pcm.rate_hz, "channels": pcm.channels, "big_endian": pcm.big_endian}
        wire = await self._binding.extract(to_js(bytes(pcm.data)).buffer, _object(form), speed)
        return wire.to_bytes() if isinstance(wire, JsProxy) else None

    async def recognize(self, fingerprint: bytes) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = _value(await self._binding.recognize(to_js(fingerprint).buffer))
        return found

    async def index_version(self) -> str | None:
        described = _value(await self._binding.hotIndex())
        return described["version"] if described else None


class _DataCentreCache:
    """Cloudflare's Cache API, which keeps the responses to GETs: a name becomes an address that nobody asks for."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    async def get(self, name: str) -> str | None:
        response = await js.caches.default.match(f"{self._base_url}/edge/{name}")
        return str(await response.text()) if isinstance(response, JsProxy) else None

    async def put(self, name: str, text: str, *, ttl_seconds: int) -> None:
        headers = {"content-type": "application/json", "cache-control": f"max-age={ttl_seconds}"}
        response = js.Response.new(text, _object({"headers": _object(headers)}))
        await js.caches.default.put(f"{self._base_url}/edge/{name}", response)


class _KeyValues:
    """Workers KV."""

    def __init__(self, binding: Js) -> None:
        self._binding = binding

    async def get(self, name: str) -> str | None:
        text = await self._binding.get(name)
        return text if isinstance(text, str) else None

    async def put(self, name: str, text: str, *, ttl_seconds: int) -> None:
        await self._binding.put(name, text, _object({"expirationTtl": ttl_seconds}))


@contextmanager
def _origin_errors() -> Iterator[None]:
    try:
        yield
    except JsException as error:
        raise (OriginTimeout if error.name == "TimeoutError" else OriginUnavailable) from error


def _head(request: Js, *, trace_share: float) -> RequestHead:
    new_id = str(js.crypto.randomUUID()).replace("-", "")
    return RequestHead.of(request.method, request.url, _headers(request), new_id=new_id, trace_share=trace_share)


def _headers(message: Js) -> dict[str, str]:
    headers: dict[str, str] = js.Object.fromEntries(message.headers).to_py()
    return headers


def _response(reply: Reply) -> Js:
    body = to_js(reply.body) if reply.body else None
    return js.Response.new(body, _object({"status": reply.status, "headers": _object(reply.headers)}))


def _object(values: Mapping[str, Js]) -> Js:
    return to_js(values, dict_converter=js.Object.fromEntries)


def _value(found: Js) -> Js:
    return json.loads(js.JSON.stringify(found)) if isinstance(found, JsProxy) else None
