"""The command line as a whole: help, start-up, usage errors, exit codes."""

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

from backend.cli.main import app
from backend.settings import Settings

HEAVY = {"numpy", "faiss", "fastapi", "asyncpg", "httpx", "pydantic", "soundfile", "uvicorn", "structlog"}


def commands(command: click.Command, path: str = "sonica") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        yield from commands(part, f"{path} {name}")


GROUPS = {"sonica", "sonica songs", "sonica index", "sonica users", "sonica keys", "sonica bundles"}
ALL = dict(commands(typer.main.get_command(app)))


def test_commands_are_those_of_the_documentation() -> None:
    assert set(ALL) - GROUPS == {
        "sonica serve",
        "sonica ingest",
        "sonica ingest failures",
        "sonica ingest worker",
        "sonica recognize",
        "sonica fingerprint",
        "sonica songs list",
        "sonica songs show",
        "sonica songs delete",
        "sonica index build",
        "sonica index status",
        "sonica users add",
        "sonica users list",
        "sonica users delete",
        "sonica users role",
        "sonica keys create",
        "sonica keys list",
        "sonica keys rotate",
        "sonica keys revoke",
        "sonica bundles publish",
        "sonica bundles list",
        "sonica bundles show",
        "sonica bundles verify",
        "sonica bundles rollback",
        "sonica bundles fetch",
        "sonica bundles keygen",
        "sonica backup",
        "sonica restore",
        "sonica migrate",
        "sonica edge-node",
    }


@pytest.mark.parametrize("path", ALL)
def test_command_says_what_it_and_its_options_are_for(path: str) -> None:
    result = CliRunner().invoke(app, [*path.split()[1:], "--help"])
    assert result.exit_code == 0
    assert ALL[path].help
    undescribed = [
        parameter.name
        for parameter in ALL[path].params
        if not getattr(parameter, "help", None) and "--help" not in parameter.opts
    ]
    assert undescribed in ([], ["key"])


@pytest.mark.parametrize("path", sorted(set(ALL) - GROUPS - {"sonica bundles keygen"}))  # which has no data
def test_every_command_takes_a_data_dir(path: str) -> None:
    assert "--data-dir" in {option for parameter in ALL[path].params for option in parameter.opts}


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, backend.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ingest", "s3://bucket/songs.csv"], "lists and manifests are read from this machine"),
        (["ingest", "/no/such/folder"], "/no/such/folder does not exist"),
        (["recognize", "--server", "example", "x.wav"], "--server takes a URL"),
    ],
)
def test_wrong_usage_is_a_problem_with_exit_code_2(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 2
    problem = json.loads(result.stdout.splitlines()[0])
    assert (problem["code"], problem["status"]) == ("invalid_request", 422)
    assert said in problem["detail"]

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(("name", "value"), [("SONICA_PORT", "many"), ("SONICA_LOG_LEVEL", "loud")])
def test_invalid_setting_is_named_with_exit_code_2(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2
    assert name in result.stderr


def test_setting_is_the_default_when_its_variable_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONICA_DATABASE_URL", "")
    assert Settings().database_url is None


@pytest.mark.parametrize("arguments", [["songs", "list"], ["index", "status"], ["migrate"]])
def test_database_out_of_reach_is_a_problem_with_exit_code_6(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONICA_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 6
    assert json.loads(result.stdout)["code"] == "catalogue_unavailable"


def test_no_server_at_the_address_is_a_problem_with_exit_code_6(tmp_path: object) -> None:
    result = CliRunner().invoke(app, ["recognize", "--server", "http://127.0.0.1:1", "--jsonl", __file__])
    assert result.exit_code == 6
    assert json.loads(result.stdout)["code"] == "address_unavailable"
