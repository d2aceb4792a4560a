from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime, timedelta

import pytest

from backend.accounts import keys
from backend.accounts.keys import make_key, prefix_of, proves
from backend.errors import InvalidRequest
from backend.models import ApiKey, NewApiKey, User

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def stored(key: NewApiKey, *, expires_at: datetime | None = None) -> ApiKey:
    user = User(1, "someone", "free", NOW)
    return ApiKey(1, user, key.prefix, key.secret_sha256, key.label, key.scopes, NOW, expires_at, None)


def test_key_proves_itself_and_no_other_when_it_is_stored() -> None:
    key, secret = make_key("free", ["recognize"])
    _, other = make_key("free", ["recognize"])

    assert proves(secret, stored(key))
    assert not proves(other, stored(key))
    assert not proves(secret[:-1], stored(key))
    assert not proves(f"{key.prefix}_{other[-43:]}", stored(key))


def test_nothing_of_the_secret_is_stored_when_a_key_is_made() -> None:
    key, secret = make_key("admin", ["admin"], label="deploy")
    private = secret.removeprefix(f"{key.prefix}_")

    assert re.fullmatch(r"sk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", secret)
    assert prefix_of(secret) == key.prefix
    assert private.encode() not in key.secret_sha256
    assert len(key.secret_sha256) == 32
    assert private not in repr(key)
    assert key.secret_sha256.hex() not in repr(key)
    assert repr(key.secret_sha256) not in repr(stored(key))


def test_secrets_are_compared_in_constant_time_when_a_key_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret = make_key("free", ["recognize"])
    compared: list[tuple[bytes, bytes]] = []

    def comparing(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac_compare(one, other)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", comparing)

    assert proves(secret, stored(key))
    assert not proves("sk_000000000000_" + 43 * "a", stored(key))
    assert [other for _, other in compared] == [key.secret_sha256, key.secret_sha256]


@pytest.mark.parametrize(("late", "good"), [(timedelta(seconds=-1), True), (timedelta(0), False)])
def test_key_is_good_until_it_expires(late: timedelta, good: bool) -> None:
    key, secret = make_key("free", ["recognize"])

    assert proves(secret, stored(key, expires_at=NOW), now=NOW + late) is good


@pytest.mark.parametrize(
    ("role", "scopes"),
    [("free", ["songs:write"]), ("premium", ["recognize", "admin"]), ("admin", ["other"]), ("free", [])],
)
def test_key_is_refused_when_the_role_lacks_a_scope(role: str, scopes: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        make_key(role, scopes)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "sk_", "sk_0123456789ab", "sk_0123456789ab_short", "pk_0123456789ab_" + 43 * "a"])
def test_no_prefix_is_read_when_the_text_is_no_key(text: str) -> None:
    assert prefix_of(text) is None
