"""`sonica edge-node`: the HTTP service near the listeners."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from backend.cli.options import DataDir, Json, settings_from
from backend.cli.output import reporting
from backend.cli.serve import interrupt, listener_of, loop_factory, run_app


def edge_node(
    host: Annotated[str | None, typer.Option(help="Address to listen on; in place of SONICA_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one and prints it; in place of SONICA_PORT.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Name popular songs from the hot bundle at SONICA_BUNDLE_URL, and ask SONICA_ORIGIN_URL for the rest.

    It has no database and knows no users: it answers hot songs to whoever asks, and passes keys on to the origin, which
    decides about all else. It serves /v1/recognize, /livez and /readyz.
    """
    with reporting(as_json=as_json):
        from backend.edge_node.app import create_edge_app

        settings = settings_from(data_dir, host=host, port=port)
        app = create_edge_app(settings)
        listener = listener_of(settings)
        signal.signal(signal.SIGINT, interrupt)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(run_app(app, settings, listener, as_json=as_json))
