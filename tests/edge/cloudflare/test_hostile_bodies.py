"""Whatever is sent, the edge answers, and what it cannot read the origin sees as it came."""

from __future__ import annotations

import struct

import pytest
from sonica_fingerprint import CONTENT_TYPE, decode, encode, extract

from tests.clips import encoded, tone
from tests.edge.cloudflare.fake_origin import Told
from tests.music import make_music

WAV = encoded(tone(0.5, rate_hz=16_000), rate_hz=16_000)


def wav(*chunks):
    body = b"".join(name + struct.pack("<I", len(content)) + content for name, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def form(tag=1, channels=1, rate_hz=16_000, bits=16):
    frame_bytes = channels * bits // 8
    return (b"fmt ", struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits))


HOSTILE = {
    "nothing": b"",
    "a byte": b"R",
    "a magic": b"RIFF\0\0\0\0WAVE",
    "no data": wav(form()),
    "no samples": wav(form(), (b"data", b"")),
    "data before its form": wav((b"data", bytes(100)), form()),
    "a short form": wav((b"fmt ", b"\1\0"), (b"data", bytes(100))),
    "no channels": wav(form(channels=0), (b"data", bytes(100))),
    "a thousand channels": wav(form(channels=1000), (b"data", bytes(4000))),
    "one frame a second": wav(form(rate_hz=1), (b"data", bytes(100))),
    "a gigahertz": wav(form(rate_hz=1_000_000_000), (b"data", bytes(100))),
    "A-law": wav(form(tag=6, bits=8), (b"data", bytes(100))),
    "12 bits": wav(form(bits=12), (b"data", bytes(100))),
    "a chunk of 4 GB": b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff" + bytes(100),
    "not a number": wav(form(tag=3, bits=32), (b"data", struct.pack("<f", float("nan")) * 20_000)),
    "infinity": wav(form(tag=3, bits=32), (b"data", struct.pack("<f", float("inf")) * 20_000)),
    "scaled like integers": wav(form(tag=3, bits=32), (b"data", struct.pack("<f", 20_000.0) * 20_000)),
    "ten thousand chunks": wav(*[(b"LIST", b"")] * 10_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_origin_judges_when_the_edge_cannot_read_a_body(edge, origin, name):
    origin.otherwise = lambda asked: Told(422, b'{"code": "undecodable_audio"}')
    response = edge.recognize(HOSTILE[name])
    assert (response.status_code, response.json()["code"]) == (422, "undecodable_audio")
    assert origin.asked[0].body == HOSTILE[name]


@pytest.mark.parametrize("length", [20, 43, 44, 45, 1_000])
def test_truncated_clip_is_answered_when_its_end_is_missing(edge, origin, length):
    assert edge.recognize(WAV[:length]).status_code == 200


def test_what_is_there_is_fingerprinted_when_a_clip_was_cut_off(edge, origin):
    whole = encoded(make_music(900, 3.0)[:, None], rate_hz=16_000)
    edge.recognize(whole[: 44 + 2 * 32_000 + 1])
    samples = struct.unpack("<32000h", whole[44 : 44 + 64_000])
    import numpy as np

    assert decode(origin.asked[0].body).key == extract(np.array(samples, np.float32) / 32_768).key


@pytest.mark.parametrize("content_type", ["audio/L16", "audio/L16;rate=x", "audio/L16;rate=-1", "audio/L16;rate=1e9"])
def test_origin_judges_when_headerless_samples_are_of_no_form(edge, origin, content_type):
    edge.recognize(bytes(1000), content_type)
    assert origin.asked[0].body == bytes(1000)


def test_origin_judges_when_a_fingerprint_is_damaged_or_of_another_version(edge, origin):
    good = encode(extract(make_music(206, 2.0)))
    older = good[:4] + bytes([good[4] - 1]) + good[5:]
    for body in (good[:-1], good + b"\0", older, b"SNFP", b""):
        edge.recognize(body, CONTENT_TYPE)
        assert origin.asked[-1].body == body


def test_only_the_first_seconds_are_used_when_a_fingerprint_is_long(edge, origin):
    long = extract(make_music(207, 30.0))
    edge.recognize(encode(long), CONTENT_TYPE)
    assert decode(origin.asked[0].body) == long.first(20.0)
