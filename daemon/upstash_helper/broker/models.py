"""The things that the broker speaks of."""

from __future__ import annotations

import hmac
from typing import Final

import msgspec

from upstash_helper.protocol.literals import ConnectionMethod, Plan, Platform


class Secret:
    """
    A string that must not be shown: an API key, a token, a code verifier.

    It has no useful ``repr`` or ``str``, cannot be formatted into a log line and is not JSON: whoever needs the text
    says so with :meth:`reveal`, which makes every such place easy to find.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: Final = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        # Bytes, because compare_digest refuses strings that are not ASCII.
        return hmac.compare_digest(
            self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass")
        )

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key: keys end up in messages

    def __reduce__(self) -> str:
        message = "a Secret is not pickled"
        raise TypeError(message)


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the Developer API takes: HTTP Basic ``EMAIL:API_KEY``.

    ``email`` is None while only the key is known (the account's e-mail is being asked for).
    """

    email: str | None
    api_key: Secret
    method: ConnectionMethod
    since: float
    """Unix time at which the account was connected."""
    key_name: str | None = None
    """The key's name in the Upstash console, when the daemon made it."""


class TokenSet(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the token endpoint (RFC 6749, section 5.1)."""

    access_token: Secret
    refresh_token: Secret | None = None
    id_token: Secret | None = None


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A Developer API key, fresh from Upstash: it is shown this once."""

    api_key: Secret
    email: str | None = None


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """A Redis database of the account, without its secrets."""

    id: str
    name: str
    state: str
    host: str
    port: int
    tls: bool
    rest_url: str
    plan: str
    primary_region: str
    read_regions: tuple[str, ...] = ()
    eviction: bool = False
    auto_upgrade: bool = False
    daily_backup: bool = False
    budget: int | None = None
    created_at: int = 0
    """Unix time."""


class DatabaseSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What lets a client into one database."""

    password: Secret
    rest_token: Secret
    read_only_rest_token: Secret


class NewDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants made. Fields that are None are left to Upstash."""

    name: str
    primary_region: str
    read_regions: tuple[str, ...] = ()
    platform: Platform | None = None
    plan: Plan | None = None
    budget: int | None = None
    eviction: bool | None = None
    tls: bool | None = None


# A change of a database is one of these: each is one call of Upstash's API.


class Rename(msgspec.Struct, frozen=True, tag=True):
    """Give the database another name."""

    name: str


class SetEviction(msgspec.Struct, frozen=True, tag=True):
    """Let entries be evicted when memory is full, or not."""

    enabled: bool


class SetAutoUpgrade(msgspec.Struct, frozen=True, tag=True):
    """Let Upstash move the database to a larger plan when it is full, or not."""

    enabled: bool


class SetDailyBackup(msgspec.Struct, frozen=True, tag=True):
    """Make a backup each day, or not."""

    enabled: bool


class SetReadRegions(msgspec.Struct, frozen=True, tag=True):
    """Replace the read regions."""

    read_regions: tuple[str, ...]


class SetPlan(msgspec.Struct, frozen=True, tag=True):
    """Move the database to another plan."""

    plan: Plan


class SetBudget(msgspec.Struct, frozen=True, tag=True):
    """Set the monthly budget, in US dollars."""

    budget: int


class EnableTls(msgspec.Struct, frozen=True, tag=True):
    """Take TLS connections only. There is no way back."""


class ResetPassword(msgspec.Struct, frozen=True, tag=True):
    """Make a new password and new REST tokens; the old ones stop working."""


Change = (
    Rename
    | SetEviction
    | SetAutoUpgrade
    | SetDailyBackup
    | SetReadRegions
    | SetPlan
    | SetBudget
    | EnableTls
    | ResetPassword
)
