"""The broker's value types: secrets, credentials, databases, and changes."""

from __future__ import annotations

import hmac
from typing import Final

import msgspec

from upstash_helper.protocol.literals import ConnectionMethod, Plan, Platform


class Secret:
    """
    A string that must not be shown: an API key, a token, a code verifier.

    Its ``repr`` and ``str`` hide the text, and it cannot be encoded as JSON. Code that needs the text calls
    :meth:`reveal`, which makes every such place easy to find.
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
        # As bytes, because compare_digest rejects strings that are not ASCII.
        return hmac.compare_digest(
            self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass")
        )

    __hash__ = None  # type: ignore[assignment]  # dictionary keys end up in error messages

    def __reduce__(self) -> str:
        message = "a Secret cannot be pickled"
        raise TypeError(message)


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """
    Credential for the Developer API: HTTP Basic ``EMAIL:API_KEY``.

    ``email`` is None while only the key is known and the user has not entered the account's email address.
    """

    email: str | None
    api_key: Secret
    method: ConnectionMethod
    since: float
    """When the account was connected, as Unix time."""
    key_name: str | None = None
    """The key's name in the Upstash console, if the daemon created it."""


class TokenSet(msgspec.Struct, frozen=True, kw_only=True):
    """Response of the token endpoint (RFC 6749, section 5.1)."""

    access_token: Secret
    refresh_token: Secret | None = None
    id_token: Secret | None = None


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new Developer API key. Upstash returns it only once."""

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
    """A database's connection credentials."""

    password: Secret
    rest_token: Secret
    read_only_rest_token: Secret


class NewDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """A database to create. Upstash chooses the value of fields that are None."""

    name: str
    primary_region: str
    read_regions: tuple[str, ...] = ()
    platform: Platform | None = None
    plan: Plan | None = None
    budget: int | None = None
    eviction: bool | None = None
    tls: bool | None = None


# The changes of a database. Each is one call of the Developer API.


class Rename(msgspec.Struct, frozen=True, tag=True):
    """Rename the database."""

    name: str


class SetEviction(msgspec.Struct, frozen=True, tag=True):
    """Turn eviction on or off: whether entries are removed when memory is full."""

    enabled: bool


class SetAutoUpgrade(msgspec.Struct, frozen=True, tag=True):
    """Turn automatic upgrades on or off: whether Upstash moves a full database to a larger plan."""

    enabled: bool


class SetDailyBackup(msgspec.Struct, frozen=True, tag=True):
    """Turn daily backups on or off."""

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
    """Require TLS. This cannot be undone."""


class ResetPassword(msgspec.Struct, frozen=True, tag=True):
    """Create a new password and new REST tokens. The old ones stop working."""


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
