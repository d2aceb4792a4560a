"""What is shown of an ingest."""

import json

import pytest

from backend.cli.ingest_report import Report
from backend.ingestion.outcomes import Ingested


def shown(capsys: pytest.CaptureFixture[str], outcomes: list[Ingested], **form: bool) -> str:
    report = Report(as_json=form.get("as_json", False), jsonl=form.get("jsonl", False))
    with report:
        for outcome in outcomes:
            report.add(outcome)
    report.print_document()
    captured = capsys.readouterr()
    return captured.out + captured.err


def failures(count: int) -> list[Ingested]:
    return [Ingested(f"{number:03}.wav", "failed", code="silent_song", detail="silent") for number in range(count)]


def test_some_failures_are_named_and_all_counted(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, failures(25))
    assert "009.wav" in text
    assert "010.wav" not in text
    assert "and 15 more" in text
    assert "25" in text


def test_document_names_all_failures(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(shown(capsys, [*failures(25), Ingested("a.wav", "added", "a", 1, 4000)], as_json=True))
    assert (document["added"], document["failed"], len(document["files"])) == (1, 25, 25)
    assert "queued" not in document


def test_what_is_handed_over_is_counted_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    handed = [Ingested("s3://music/a.wav", "queued"), *failures(1)]
    document = json.loads(shown(capsys, handed, as_json=True))
    assert (document["queued"], document["failed"]) == (1, 1)
    assert "added" not in document
    assert "queued" in shown(capsys, handed)


def test_nothing_to_ingest_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no audio files" in shown(capsys, [])
