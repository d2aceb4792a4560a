"""The commands as processes: the server and its clients, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sonica_fingerprint import CONTENT_TYPE, OTHER_SPEEDS, decode

from tests.edge.clients.scripted_service import FOUND, UNANSWERED, answer, scripted
from tests.integration.cli.conftest import Commands
from tests.music import write_clip, write_song

SONICA = [sys.executable, "-c", "from backend.cli.main import main; main()"]


@contextmanager
def start(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command; one that hangs is killed in the end, so that its test fails and the others go on."""
    pipe = subprocess.PIPE
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's background jobs start
    try:
        process = subprocess.Popen([*SONICA, *map(str, arguments)], stdout=pipe, stderr=pipe, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_server_says_where_it_listens_and_answers_as_the_catalogue_here_does(commands: Commands) -> None:
    for seed in range(3):
        write_song(commands.folder / f"album/{seed}.wav", seed)
    commands.run("ingest", commands.folder / "album")
    clip = write_clip(commands.folder / "clip.wav", 1, start_seconds=2)
    other = write_clip(commands.folder / "other.wav", 50, start_seconds=2)
    text = commands.folder / "text.wav"
    text.write_text("no audio")
    wire = commands.folder / "clip.snfp"
    commands.run("fingerprint", clip)

    with start("serve", "--port", "0") as server:
        assert server.stdout is not None
        listens, paste = server.stdout.readline(), server.stdout.readline()
        url = listens.split()[3]
        assert listens.startswith(f"Sonica listens on {url}")
        assert paste.endswith(f"curl --data-binary @clip.wav {url}/recognize\n")

        files = (clip, other, text, wire)
        remote = commands.lines("recognize", "--server", url, "--jsonl", *files, exit_code=4)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0

    local = commands.lines("recognize", "--jsonl", *files, exit_code=4)
    assert [line["status"] for line in remote] == ["match", "no_match", "error", "match"]
    assert remote[2]["problem"]["code"] == local[2]["problem"]["code"] == "unsupported_audio"
    for ours, theirs in zip(local, remote, strict=True):
        assert ours["status"] == theirs["status"]
        assert [place for place, _ in _essence(ours)] == [place for place, _ in _essence(theirs)]
        scores = [score for _, score in _essence(theirs)]
        assert [score for _, score in _essence(ours)] == pytest.approx(scores, abs=1e-4)


def _essence(line: dict[str, object]) -> list[tuple[tuple[object, object], float]]:
    candidates = line["candidates"]
    assert isinstance(candidates, list)
    return [((each["song"], each["offset_ms"]), each["score"]) for each in candidates]


def test_server_that_cannot_start_says_why_with_exit_code_6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONICA_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    with start("serve", "--port", "0", "--json") as server:
        output, messages = server.communicate(timeout=30)
    assert server.returncode == 6, messages
    assert json.loads(output)["code"] == "catalogue_unavailable"


def test_port_in_use_is_said_with_exit_code_6(commands: Commands) -> None:
    with http_server(status=200) as url:
        port = url.rpartition(":")[2]
        result = commands.run("serve", "--port", port)
    assert result.exit_code == 6
    assert f"port {port}" in result.stderr
    assert "--port takes another" in result.stderr


@pytest.mark.parametrize(("status", "exit_code"), [(401, 5), (403, 5), (500, 1), (404, 1)])
def test_refusal_by_a_server_is_its_problem_and_an_exit_code(commands: Commands, status: int, exit_code: int) -> None:
    clip = write_clip(commands.folder / "clip.wav", 1, start_seconds=1)
    with http_server(status=status) as url:
        (problem,) = commands.lines("recognize", "--server", url, "--jsonl", clip, exit_code=exit_code)
    assert problem == {"code": "refused", "detail": "no", "status": status}


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_ingest_says_how_to_go_on_and_goes_on(
    commands: Commands, signal_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SONICA_INGEST_WORKERS", "1")  # so that the signal comes amid the work, however busy we are
    album = commands.folder / "album"
    for seed in range(12):
        write_song(album / f"{seed:02}.wav", seed, seconds=120)
    with start("ingest", album, "--jsonl") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal_number)
        rest, messages = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from there" in messages
    assert "Traceback" not in messages
    told = [json.loads(line)["external_id"] for line in [first, *rest.splitlines()]]
    assert len(told) < 12

    again = commands.lines("ingest", album, "--jsonl")
    assert len(again) == 12
    skipped = {line["external_id"] for line in again if line["outcome"] == "skipped"}
    assert set(told) <= skipped
    assert len(commands.lines("songs", "list", "--jsonl")) == 12


def test_reader_that_has_seen_enough_ends_the_command_quietly(commands: Commands) -> None:
    for seed in range(3):
        write_song(commands.folder / f"album/{seed}.wav", seed)
    commands.run("ingest", commands.folder / "album")
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen([*SONICA, "songs", "list", "--jsonl"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    _, messages = process.communicate(timeout=30)
    assert (process.returncode, messages) == (1, "")


@contextmanager
def http_server(*, status: int) -> Iterator[str]:
    """Serve a refusal on a free port."""

    class Refusal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"code": "refused", "detail": "no", "status": status}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Refusal)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def recording_server(*, refuse: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """Serve no matches, and refuse bodies of fingerprints with this code; give the content types that came."""
    came: list[str] = []
    no_match = {"status": "no_match", "reason": "below_threshold", "matches": [], "candidates": [], "timings_ms": {}}

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            came.append(self.headers["Content-Type"])
            refused = refuse is not None and came[-1] == CONTENT_TYPE
            body = json.dumps({"code": refuse, "detail": "no", "status": 422} if refused else no_match).encode()
            self.send_response(422 if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", came
        server.shutdown()
        thread.join()


AUDIO = "application/octet-stream"
FINGERPRINTS = [CONTENT_TYPE] * (1 + len(OTHER_SPEEDS))  # of what has no answer


@pytest.mark.parametrize(
    ("options", "content_types"),
    [([], FINGERPRINTS), (["--send", "fingerprint"], FINGERPRINTS), (["--send", "audio"], [AUDIO])],
)
def test_server_gets_fingerprints_when_the_file_can_be_decoded_here(
    commands: Commands, options: list[str], content_types: list[str]
) -> None:
    clip = write_clip(commands.folder / "clip.wav", 1, start_seconds=1)
    with recording_server() as (url, came):
        commands.lines("recognize", "--server", url, "--jsonl", *options, clip, exit_code=3)
    assert came == content_types


def test_song_is_named_when_the_server_knows_it_at_another_speed(commands: Commands) -> None:
    clip = write_clip(commands.folder / "clip.wav", 1, start_seconds=1)
    rest = {"candidates": [], "timings_ms": {}}
    with scripted(answer(UNANSWERED | rest), answer(FOUND | rest)) as script:
        (line,) = commands.lines("recognize", "--server", script.url, "--jsonl", clip)

    assert line["status"] == "match"
    assert [decode(body).speed for *_, body in script.came] == [1.0, OTHER_SPEEDS[0]]


def test_server_gets_the_file_when_it_cannot_be_decoded_here(commands: Commands) -> None:
    text = commands.folder / "text.wav"
    text.write_text("no audio that this machine knows")
    with recording_server() as (url, came):
        commands.lines("recognize", "--server", url, "--jsonl", text, exit_code=3)
    assert came == [AUDIO]


@pytest.mark.parametrize("code", ["invalid_fingerprint", "unsupported_audio"])
def test_server_gets_the_file_when_it_refuses_the_fingerprint(commands: Commands, code: str) -> None:
    clip = write_clip(commands.folder / "clip.wav", 1, start_seconds=1)
    with recording_server(refuse=code) as (url, came):
        (line,) = commands.lines("recognize", "--server", url, "--jsonl", clip, exit_code=3)
    assert came == [CONTENT_TYPE, AUDIO]
    assert line["status"] == "no_match"


def test_refusal_is_told_when_the_file_is_a_fingerprint_itself(commands: Commands) -> None:
    clip = write_clip(commands.folder / "clip.wav", 1, start_seconds=1)
    commands.run("fingerprint", clip)
    with recording_server(refuse="invalid_fingerprint") as (url, came):
        (line,) = commands.lines("recognize", "--server", url, "--jsonl", clip.with_suffix(".snfp"), exit_code=1)
    assert came == [CONTENT_TYPE]
    assert line["problem"]["code"] == "invalid_fingerprint"
