"""`sonica serve`: the HTTP service."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
from collections.abc import Callable
from contextlib import nullcontext, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.options import DataDir, Json, settings_from
from backend.cli.output import print_json, reporting, stdout
from backend.errors import AddressUnavailable, InvalidRequest

if TYPE_CHECKING:
    from fastapi import FastAPI

    from backend.settings import Settings

CONNECTIONS_WAITING_MAX = 2048  # bursts wait in the system's queue instead of being refused


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; in place of SONICA_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one and prints it; in place of SONICA_PORT.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Serve recognition over HTTP."""
    with reporting(as_json=as_json):
        settings = settings_from(data_dir, host=host, port=port)
        listener = listener_of(settings, check=_check_exposure)
        signal.signal(signal.SIGINT, interrupt)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(settings, listener, as_json=as_json))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the server's loop."""
    from uvicorn.loops.auto import auto_loop_factory

    return auto_loop_factory()  # uvloop where it is installed: a tenth of a cached answer's CPU


def interrupt(*_: object) -> None:
    """End the server: in place of asyncio's own handler, which would cancel what closes after uvicorn's end."""
    raise KeyboardInterrupt


def listener_of(
    settings: Settings, *, check: Callable[[Settings, socket.socket], None] = lambda *_: None
) -> socket.socket:
    """Listen where the settings say, once `check` has let it; raises AddressUnavailable."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named TCP outright: asyncio switches Nagle's delay off (45 ms a request) for sockets that say so only.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        check(settings, listener)
        listener.listen(CONNECTIONS_WAITING_MAX)
        return listener
    except InvalidRequest:
        listener.close()
        raise
    except OSError as error:
        listener.close()
        raise AddressUnavailable(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; --port takes another"
        ) from error


def _check_exposure(settings: Settings, listener: socket.socket) -> None:
    """Raise InvalidRequest where others than this machine would be served without saying who they are."""
    address = ip_address(listener.getsockname()[0])
    if settings.auth == "off" and not address.is_loopback:
        raise InvalidRequest(
            f"SONICA_AUTH=off serves this machine alone: {settings.host} is no loopback address. Set SONICA_AUTH=on, "
            "and make keys by `sonica users add` and `sonica keys create`"
        )


async def _serve(settings: Settings, listener: socket.socket, *, as_json: bool) -> None:
    from backend.app import create_app
    from backend.composition import open_servers_origin

    # Opened here, for uvicorn would only log why it cannot be.
    async with open_servers_origin(settings) as origin:
        app = create_app(settings, open_origin=lambda _: nullcontext(origin))
        await run_app(app, settings, listener, as_json=as_json)


async def run_app(app: FastAPI, settings: Settings, listener: socket.socket, *, as_json: bool) -> None:
    """Serve an application until it is told to stop."""
    import uvicorn

    from backend.cli.server import Server

    # Logs are the application's own (backend/observability/logs.py).
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds_max),  # it takes whole seconds only
        proxy_headers=False,  # whom to believe an address is ours to say: SONICA_TRUSTED_PROXIES
    )
    server = Server(
        config,
        notice_seconds=settings.shutdown_notice_seconds,
        on_listening=lambda: _announce(listener, as_json=as_json),
        on_stopping=lambda: setattr(app.state, "stopping", True),
    )
    with suppress(KeyboardInterrupt):  # the way to end a server; uvicorn raises it again after it has closed
        await server.serve(sockets=[listener])


def _announce(listener: socket.socket, *, as_json: bool) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if as_json:
        print_json({"url": url})
        return
    console = stdout()
    console.print(f"Sonica listens on {url} (docs: {url}/docs)")
    console.print(f"Try: curl --data-binary @clip.wav {url}/recognize", soft_wrap=True)
    console.file.flush()
