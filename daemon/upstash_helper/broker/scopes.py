"""What an app may be let do, and the words in which a person is asked for it."""

from __future__ import annotations

from typing import Final, Literal, get_args

Scope = Literal[
    "connection:read",
    "connection:write",
    "databases:read",
    "databases:write",
    "databases:delete",
    "databases:credentials",
    "upstash:read",
    "upstash:write",
]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

MEANING: Final[dict[Scope, str]] = {
    "connection:read": "See whether an Upstash account is connected, and its e-mail",
    "connection:write": "Start connecting an Upstash account; you still sign in yourself",
    "databases:read": "List your databases and their settings, without passwords",
    "databases:write": "Create databases, rename and change them, and reset their passwords; that may cost money",
    "databases:delete": "Delete databases with all that is in them",
    "databases:credentials": "Read the passwords and tokens of databases that it created",
    "upstash:read": "Read everything in your Upstash account, passwords of all databases included",
    "upstash:write": "Do everything in your Upstash account that your API key can, deleting and spending included",
}
"""Each begins as the answer to "It would like to …"."""

ALL_DATABASES: Final = "Read the passwords and tokens of all your databases, not only of those that it created"
"""What the choice "all databases" adds to ``databases:credentials``."""


def ordered(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    """Return ``scopes``, each once, in the order in which they are always shown."""
    return tuple(scope for scope in SCOPES if scope in scopes)
