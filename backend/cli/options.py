"""Options that several commands share, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from backend.settings import Settings

DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the embedded database and the index; in place of SONICA_DATA_DIR.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="Print a line of JSON for each item as soon as it is done.")]


def settings_from(data_dir: Path | None, **changed: object) -> Settings:
    """Return the settings of the environment, changed by the command line; raises InvalidRequest."""
    from pydantic import ValidationError

    from backend.errors import InvalidRequest
    from backend.observability.logs import configure_logging
    from backend.settings import Settings

    configure_logging("WARNING")  # what a command did is its output's to say; stdout is for that alone
    given = {"data_dir": data_dir, **changed}
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        flaws = (f"SONICA_{str(flaw['loc'][0]).upper()}: {flaw['msg']}" for flaw in error.errors())
        raise InvalidRequest("; ".join(flaws)) from error
