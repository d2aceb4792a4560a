"""The database's URL from a secret of AWS Secrets Manager."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from backend.errors import SecretUnavailable
from backend.objects.client import open_client, translated
from backend.settings import Settings

_PORT = 5432


def database_url(settings: Settings) -> str:
    """Return the URL that the secret and SONICA_DATABASE_URL give together; blocks.

    The secret is JSON as RDS writes it: username, password, and mostly host, port, dbname. What the URL says of these
    goes first: a proxy's host, or all but the password where RDS manages a secret of its own, which has no more.
    Raises SecretUnavailable.
    """
    name = settings.database_secret or ""
    client = open_client("secretsmanager", settings)
    with translated(SecretUnavailable, f"the secret {name}"):
        text = client.get_secret_value(SecretId=name)["SecretString"]
    try:
        return _url(json.loads(text), settings.database_url or "postgresql:")
    except (ValueError, TypeError, KeyError) as error:  # without the cause, which may show the secret
        raise SecretUnavailable(
            f"the secret {name} is not JSON with {error if isinstance(error, KeyError) else 'username and password'}"
        ) from None


def _url(secret: dict[str, Any], stated: str) -> str:
    given = urlsplit(stated)
    user = unquote(given.username) if given.username else secret["username"]
    database = given.path if given.path.strip("/") else "/" + _encoded(secret.get("dbname", ""))
    address = f"{_encoded(user)}:{_encoded(secret['password'])}@{_place(secret, given)}"
    return urlunsplit(("postgresql", address, database, given.query, ""))


def _place(secret: dict[str, Any], given: SplitResult) -> str:
    if not given.hostname and "host=" in given.query:
        return ""
    host = given.hostname or secret["host"]
    return f"{f'[{host}]' if ':' in host else _encoded(host)}:{given.port or secret.get('port', _PORT)}"


def _encoded(text: object) -> str:
    return quote(str(text), safe="")
