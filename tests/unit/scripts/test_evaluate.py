"""The scorer: its measures, its intervals, and the command around it."""

import json
import sys

import evaluate
import pytest
from measurement.accuracy_table import to_document
from measurement.reliability import reliability
from measurement.scoring import Answer, Query, Share, read_answers, read_queries, score


def heard(song="a", *, offset_ms=10_000, value=0.9, accepted=True):
    return Answer(accepted=accepted, song=song, offset_ms=offset_ms, score=value)


def asked(path, song="a", *, cell="mic_5s"):
    return Query(path, cell, song, None if song is None else 10.0)


def shares(scores, cell="mic_5s"):
    return {name: share.count for each in scores.cells if each.cell == cell for name, share in each.shares.items()}


def test_all_measures_count_when_the_answer_is_right():
    scores = score([asked("1")], {"1": heard(offset_ms=10_500)}, rate=0.01)

    assert shares(scores) == {"top1": 1, "offset": 1, "accepted": 1, "gated": 1}


def test_only_the_failed_measures_are_lost_when_an_answer_is_partly_right():
    queries = [asked("far"), asked("unsure"), asked("wrong"), asked("unanswered")]
    answers = {
        "far": heard(offset_ms=10_501),
        "unsure": heard(value=0.4, accepted=False),
        "wrong": heard("b"),
    }

    scores = score(queries, answers, rate=0.01)

    assert shares(scores) == {"top1": 2, "offset": 1, "accepted": 1, "gated": 2}
    assert scores.unanswered == 1


def test_gate_lets_the_given_rate_of_negatives_through_when_it_is_set():
    negatives = [asked(f"n{number}", None, cell="neg") for number in range(100)]
    answers = {f"n{number}": heard(value=number / 100, accepted=number >= 98) for number in range(100)}
    positives = {"low": heard(value=0.97), "high": heard(value=0.985)}

    scores = score([asked("low"), asked("high"), *negatives], answers | positives, rate=0.01)

    assert scores.gate == 0.98
    assert shares(scores, "neg") == {"accepted": 2, "gated": 1}
    assert shares(scores)["gated"] == 1


def test_interval_is_wilsons_when_all_or_some_are_right():
    assert Share(0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert Share(5, 10).interval == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert Share(60, 60).interval == pytest.approx((0.9398, 1.0), abs=1e-4)


def test_files_are_understood_when_they_use_song_or_track(tmp_path):
    rows = [
        {"path": "1.wav", "cell": "c", "song": "a", "offset_s": 1.5},
        {"path": "2.wav", "cell": "c", "track": None, "offset_s": None},
    ]
    (tmp_path / "queries.json").write_text(json.dumps(rows))
    lines = [
        {"file": "1.wav", "status": "match", "candidates": [{"song": "a", "offset_ms": 1500, "score": 0.9}]},
        {"file": "2.wav", "status": "error", "candidates": []},
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, lines)))

    assert read_queries(tmp_path / "queries.json")[1] == Query("2.wav", "c", None, None)
    answers = read_answers(tmp_path / "answers.jsonl")
    assert answers["1.wav"] == Answer(accepted=True, song="a", offset_ms=1500, score=0.9)
    assert answers["2.wav"].failed


def test_command_writes_the_document_and_shows_gains_when_there_is_a_baseline(tmp_path, monkeypatch, capsys):
    queries, answers, kept = (tmp_path / name for name in ("queries.json", "answers.jsonl", "kept.json"))
    queries.write_text(json.dumps([{"path": "1", "cell": "clean_5s", "song": "a", "offset_s": 1.0}]))
    answers.write_text("")
    before = score(read_queries(queries), read_answers(answers), rate=0.01)
    kept.write_text(json.dumps(to_document(before)))
    right = {"file": "1", "status": "match", "candidates": [{"song": "a", "offset_ms": 1000, "score": 0.9}]}
    answers.write_text(json.dumps(right))
    arguments = [queries, answers, "--baseline", kept, "--write-baseline", tmp_path / "new.json"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])

    with pytest.raises(SystemExit) as ended:
        evaluate.main()

    assert ended.value.code == 0
    assert "+100.0" in capsys.readouterr().out
    document = json.loads((tmp_path / "new.json").read_text())
    assert document["cells"]["clean_5s"]["top1"]["share"] == 1.0


def honest(count, *, value, right):
    """So many answers of one score, of which so many are right, and as many negatives that scored nothing."""
    queries = [asked(f"{value}-{n}") for n in range(count)]
    answers = {q.path: heard("a" if n < right else "b", value=value) for n, q in enumerate(queries)}
    negatives = [asked(f"{value}-neg-{n}", None, cell="neg") for n in range(count)]
    return queries + negatives, answers | {q.path: heard("b", value=0.0) for q in negatives}


def test_calibration_error_is_nothing_when_scores_are_honest():
    found = reliability(*honest(100, value=0.8, right=80))
    assert found.expected_calibration_error == pytest.approx(0)
    assert [round(each.right, 2) for each in found.bins] == [0.0, 0.8]


def test_calibration_error_is_the_gap_when_scores_are_boastful():
    found = reliability(*honest(100, value=0.9, right=50))
    assert found.expected_calibration_error == pytest.approx(0.5 * 0.4)
    assert sum(each.weight for each in found.bins) == pytest.approx(1)


def test_calibration_is_unknown_when_there_are_no_negatives():
    assert reliability([asked("1")], {"1": heard()}) is None
