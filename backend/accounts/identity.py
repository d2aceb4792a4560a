"""Who asks, and what they may: the roles and their scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from backend.models import Role, Scope, User

LISTENER_SCOPES: frozenset[Scope] = frozenset({"recognize", "songs:read"})
ALL_SCOPES: frozenset[Scope] = LISTENER_SCOPES | {"songs:write", "admin"}
ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = MappingProxyType(
    {"free": LISTENER_SCOPES, "premium": LISTENER_SCOPES, "admin": ALL_SCOPES}
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whoever sent a request, and the scopes of the key or token that says so."""

    user: User
    scopes: frozenset[Scope]
    key_id: int | None = None

    def allows(self, scope: Scope | None) -> bool:
        """Say whether this scope is among theirs; `admin` stands for all, None asks for none."""
        return scope is None or scope in self.scopes or "admin" in self.scopes


def granted(role: Role, asked: Iterable[str]) -> frozenset[Scope]:
    """Return what of the asked scopes the role has: a role that was taken away takes the keys' scopes along."""
    return ROLE_SCOPES[role].intersection(asked)
