from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.accounts.issuer import token_verifier
from backend.accounts.issuer_keys import IssuerKeys, read_keys
from backend.errors import InvalidRequest, IssuerUnavailable
from backend.settings import Settings
from tests.tokens import ISSUER, SETTINGS, jwks, make_token, signing_key


class Issuer:
    """An issuer that is away, or changes its keys, as it is told."""

    def __init__(self) -> None:
        self.fetches = 0
        self.document = jwks()
        self.away = False

    async def __call__(self) -> bytes:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError
        return self.document.encode()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_fetched_once_when_many_ask_at_a_time() -> None:
    issuer = Issuer()
    keys = IssuerKeys(issuer, timer=Clock())

    found = await asyncio.gather(*(keys.find("first") for _ in range(20)))

    assert {key.kid for key in found} == {"first"}
    assert issuer.fetches == 1


async def test_new_key_is_found_when_the_issuer_has_changed_them() -> None:
    issuer, clock = Issuer(), Clock()
    keys = IssuerKeys(issuer, timer=clock)
    await keys.find("first")
    issuer.document, clock.now = jwks(signing_key("second")), 31

    assert (await keys.find("second")).kid == "second"
    with pytest.raises(ValueError, match="no such key"):
        await keys.find("first")


async def test_issuer_is_left_alone_when_callers_make_up_key_ids() -> None:
    issuer, clock = Issuer(), Clock()
    keys = IssuerKeys(issuer, timer=clock)
    for number in range(50):
        with pytest.raises(ValueError, match="no such key"):
            await keys.find(f"made up {number}")

    assert issuer.fetches == 1


async def test_withdrawn_key_is_forgotten_when_its_time_is_over() -> None:
    issuer, clock = Issuer(), Clock()
    keys = IssuerKeys(issuer, timer=clock)
    await keys.find("first")
    issuer.document = jwks(signing_key("second"))
    clock.now = 299
    assert await keys.find("first")
    clock.now = 301

    with pytest.raises(ValueError, match="no such key"):
        await keys.find("first")


async def test_keys_of_before_are_used_when_the_issuer_is_away() -> None:
    issuer, clock = Issuer(), Clock()
    keys = IssuerKeys(issuer, timer=clock)
    await keys.find("first")
    issuer.away, clock.now = True, 1000

    assert await keys.find("first")


async def test_issuer_is_left_alone_for_a_while_when_it_is_away() -> None:
    issuer, clock = Issuer(), Clock()
    keys = IssuerKeys(issuer, timer=clock)
    await keys.find("first")
    issuer.away, clock.now = True, 1000

    await asyncio.gather(*(keys.find("first") for _ in range(20)))
    assert (issuer.fetches, keys.left_alone) == (2, True)
    clock.now += 4
    await keys.find("first")
    assert issuer.fetches == 2
    issuer.away, clock.now = False, clock.now + 1
    await keys.find("first")

    assert (issuer.fetches, keys.left_alone) == (3, False)


async def test_nobody_waits_for_the_one_who_tries_when_the_issuer_is_away() -> None:
    issuer, clock, answer = Issuer(), Clock(), asyncio.Event()
    keys = IssuerKeys(issuer, timer=clock)
    await keys.find("first")
    issuer.away, clock.now = True, 1000
    await keys.find("first")
    clock.now += 5

    async def slow() -> bytes:
        await answer.wait()
        return await issuer()

    keys._fetch = slow
    trying = asyncio.create_task(keys.find("first"))
    await asyncio.sleep(0)

    assert (await keys.find("first")).kid == "first"
    assert not trying.done()
    answer.set()
    assert (await trying).kid == "first"


async def test_unknown_key_is_not_called_wrong_when_the_issuer_is_away() -> None:
    issuer, clock = Issuer(), Clock()
    keys = IssuerKeys(issuer, timer=clock)
    await keys.find("first")
    issuer.away, clock.now = True, 31

    with pytest.raises(IssuerUnavailable):
        await keys.find("second")


async def test_nobody_is_believed_when_the_issuer_never_answered() -> None:
    issuer = Issuer()
    issuer.document = "<html>"

    with pytest.raises(IssuerUnavailable):
        await IssuerKeys(issuer, timer=Clock()).find("first")


def test_other_keys_are_passed_over_when_one_is_good() -> None:
    good = signing_key().as_dict(private=False)
    odd = [{"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}, {"kty": "AKP", "kid": "new"}, {"kty": "RSA"}, "text", 7]

    assert read_keys(json.dumps({"keys": [*odd, good]})).keys() == {"first"}


@pytest.mark.parametrize(
    "document", ["", "[]", "{}", '{"keys": {}}', '{"keys": []}', '{"keys": [{"kty": "oct", "k": "AA"}]}']
)
def test_document_is_refused_when_it_has_no_public_key(document: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_keys(document)


async def test_tokens_are_verified_when_the_keys_are_in_the_setting() -> None:
    verifier = token_verifier(Settings(jwt_jwks=jwks(), **SETTINGS))

    assert verifier is not None
    assert (await verifier.verify(make_token())).user_name == f"{ISSUER}#listener"


@pytest.mark.parametrize(
    "settings",
    [
        {"jwt_jwks": jwks()},
        {"jwt_jwks": jwks(), "jwt_issuer": ISSUER},
        {"jwt_jwks": "http://issuer.example/keys", **SETTINGS},
        {"jwt_jwks": "file:///etc/passwd", **SETTINGS},
        {"jwt_jwks": '{"keys": []}', **SETTINGS},
    ],
)
def test_settings_are_refused_when_no_token_could_be_trusted(settings: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="SONICA_JWT"):
        token_verifier(Settings(**settings))


@pytest.mark.parametrize("algorithms", ["none", "HS256", "RS256,HS256", "RS256,", "ES1"])
def test_settings_are_refused_when_an_algorithm_is_not_safe(algorithms: str) -> None:
    with pytest.raises(ValueError, match="jwt_algorithms"):
        Settings(jwt_algorithms=algorithms)


def test_no_tokens_are_taken_when_no_issuer_is_set() -> None:
    assert token_verifier(Settings()) is None


class Answer(BaseHTTPRequestHandler):
    """An issuer's web server: a path for each way in which it may answer."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/keys")
            self.end_headers()
            return
        document = {"/keys": jwks(), "/large": " " * 300_000 + jwks(), "/html": "<html>"}.get(self.path)
        self.send_response(200 if document else 404)
        self.end_headers()
        self.wfile.write((document or "").encode())

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture(scope="module")
def issuer_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_tokens_are_verified_when_the_keys_are_at_a_url(issuer_url: str) -> None:
    verifier = token_verifier(Settings(jwt_jwks=f"{issuer_url}/keys", **SETTINGS))

    assert verifier is not None
    assert (await verifier.verify(make_token())).user_name == f"{ISSUER}#listener"


@pytest.mark.parametrize("path", ["moved", "large", "html", "missing"])
async def test_no_token_is_believed_when_what_is_at_the_url_is_no_jwks(issuer_url: str, path: str) -> None:
    verifier = token_verifier(Settings(jwt_jwks=f"{issuer_url}/{path}", **SETTINGS))

    assert verifier is not None
    with pytest.raises(IssuerUnavailable):
        await verifier.verify(make_token())
