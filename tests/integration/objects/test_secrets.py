"""The database's URL from a secret of Secrets Manager, by moto's server."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from backend.catalogue.database import session
from backend.composition import migrate_database, open_catalogue
from backend.errors import SecretUnavailable
from backend.objects.secrets import database_url as url_of
from backend.settings import Settings
from tests.aws import Aws

PASSWORD = "p@ss/w:rd?#[ü]%"
RDS = {"engine": "postgres", "host": "db.internal", "port": 5433, "username": "so/nica", "dbname": "cata logue"}
ENCODED = "so%2Fnica:p%40ss%2Fw%3Ard%3F%23%5B%C3%BC%5D%25"


def settings_with(aws: Aws, secret: object, **settings: object) -> Settings:
    text = secret if isinstance(secret, str) else json.dumps(secret)
    aws.client("secretsmanager").create_secret(Name="sonica/db", SecretString=text)
    return Settings(**aws.settings, database_secret="sonica/db", **settings)


@pytest.mark.parametrize(
    ("stated", "url"),
    [
        (None, f"postgresql://{ENCODED}@db.internal:5433/cata%20logue"),
        ("postgresql://proxy:6432", f"postgresql://{ENCODED}@proxy:6432/cata%20logue"),
        ("postgresql://[::1]/other?sslmode=require", f"postgresql://{ENCODED}@[::1]:5433/other?sslmode=require"),
    ],
)
def test_url_has_what_the_secret_says_and_what_the_setting_says_goes_first(
    aws: Aws, stated: str | None, url: str
) -> None:
    assert url_of(settings_with(aws, RDS | {"password": PASSWORD}, database_url=stated)) == url


def test_secret_of_name_and_password_alone_is_enough_when_the_setting_says_the_rest(aws: Aws) -> None:
    secret = {"username": "sonica", "password": "x"}
    settings = settings_with(aws, secret, database_url="postgresql://proxy/catalogue")
    assert url_of(settings) == "postgresql://sonica:x@proxy:5432/catalogue"


@pytest.mark.parametrize(
    "secret", ["no JSON at all", "[]", {"username": "sonica", "host": "h"}, {"password": "hidden"}]
)
def test_secret_that_is_none_is_refused_without_showing_it(aws: Aws, secret: object) -> None:
    with pytest.raises(SecretUnavailable, match="sonica/db") as refused:
        url_of(settings_with(aws, secret))
    assert "hidden" not in str(refused.value)


def test_missing_secret_is_told(aws: Aws) -> None:
    with pytest.raises(SecretUnavailable, match="sonica/elsewhere"):
        url_of(Settings(**aws.settings, database_secret="sonica/elsewhere"))


async def test_catalogue_opens_by_the_secret_alone(aws: Aws, empty_database_url: str) -> None:
    parts = urlsplit(empty_database_url)
    async with session(empty_database_url) as connection:
        await connection.execute("create role keeper superuser login password 'p@ss'")
    secret = {
        "username": "keeper",
        "password": "p@ss",
        "host": parse_qs(parts.query)["host"][0],
        "dbname": parts.path.strip("/"),
    }
    settings = settings_with(aws, secret)
    try:
        assert await migrate_database(settings)
        async with open_catalogue(settings) as catalogue:
            assert await catalogue.page(after_id=0, limit=1, filters={}) == []
            async with catalogue.database.connection() as connection:
                assert await connection.fetchval("select current_user") == "keeper"
    finally:
        async with session(empty_database_url) as connection:
            await connection.execute("drop owned by keeper cascade")
            await connection.execute("drop role keeper")
