"""The `sonica` command; its parts import what is heavy only when they run, so that --help answers at once."""

from __future__ import annotations

import signal

import typer

from backend.cli.backup import backup, restore
from backend.cli.bundles import bundle_commands
from backend.cli.commands import Commands
from backend.cli.edge_node import edge_node
from backend.cli.fingerprint import fingerprint
from backend.cli.index import index_commands
from backend.cli.ingest import ingest
from backend.cli.ingest_failures import ingest_failures
from backend.cli.ingest_worker import ingest_worker
from backend.cli.keys import key_commands
from backend.cli.migrate import migrate
from backend.cli.recognize import recognize
from backend.cli.serve import serve
from backend.cli.songs import song_commands
from backend.cli.users import user_commands

EPILOG = (
    "Exit codes: 0 ok, 1 error, 2 wrong usage, 3 no match, 4 some items failed, 5 not authorised, "
    "6 service unavailable, 130 interrupted."
)

app = typer.Typer(
    cls=Commands,
    help="Sonica names the song in a few seconds of noisy audio, from a catalogue of your own.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they may hold a database's password
)
app.command()(serve)
app.command()(edge_node)
app.command()(ingest)
app.command("ingest worker")(ingest_worker)
app.command("ingest failures")(ingest_failures)
app.command()(recognize)
app.command()(fingerprint)
app.add_typer(song_commands, name="songs")
app.add_typer(index_commands, name="index")
app.add_typer(bundle_commands, name="bundles")
app.add_typer(user_commands, name="users")
app.add_typer(key_commands, name="keys")
app.command()(migrate)
app.command()(backup)
app.command()(restore)


def main() -> None:
    """Run the command line."""
    # `docker stop` means the same as Ctrl-C, which asyncio turns into a cancellation: an exception that is raised
    # wherever the main thread happens to be can leave a lock held for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background jobs start with it ignored
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    app()
