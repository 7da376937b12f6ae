"""The broker's value types: secrets, credentials, databases, and changes."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Literal

import msgspec

from upstash_helper.protocol.literals import ConnectionMethod, Plan, Platform

GrantState = Literal["live", "refreshing", "ended"]
"""
``refreshing``: its refresh token was sent to Upstash, and the answer is not stored. If the daemon was killed meanwhile,
the token may be used up. ``ended``: Upstash does not accept it any more.
"""


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


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """
    The user's consent that the daemon may call the Developer API, given at the open sign-in.

    Only the refresh token is stored. Each refresh replaces it, and Upstash ends the grant if an old one is used.
    """

    refresh_token: Secret
    issuer: str
    """The authorization server's issuer identifier (RFC 8414, section 2)."""
    client_id: str
    """The registered client that the refresh token was issued to."""
    client_name: str
    """The name by which the Upstash console lists the grant."""
    team_id: str | None = None
    """The team whose databases it is for; None: the user's personal account."""
    team_role: str | None = None
    read_only: bool = False
    """Whether Upstash refuses all changes with it."""
    state: GrantState = "live"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """
    Credential for the Developer API, of one of two kinds: an API key, for HTTP Basic ``EMAIL:API_KEY``, or a grant.

    ``email`` is None if it is not known. An API key cannot be used then, until the user has entered it.
    """

    email: str | None
    method: ConnectionMethod
    since: float
    """When the account was connected, as Unix time."""
    api_key: Secret | None = None
    key_name: str | None = None
    """The key's name in the Upstash console, if the daemon created it."""
    grant: Grant | None = None
    access_token: Secret | None = None
    """The grant's current access token, only in a credential that is passed to an upstream call. Never stored."""

    def __post_init__(self) -> None:
        if (self.api_key is None) == (self.grant is None):
            message = "a credential is either an API key or a grant"
            raise ValueError(message)

    @property
    def team_id(self) -> str | None:
        """The team that it is for; None: the personal account."""
        return None if self.grant is None else self.grant.team_id

    @property
    def account(self) -> tuple[str | None, str | None]:
        """The email address in lower case, and the team. Equal for two credentials of one account."""
        return (None if self.email is None else self.email.casefold(), self.team_id)

    @property
    def account_key(self) -> str:
        """Identifies the account in the ledger, without naming it there."""
        email, team_id = self.account
        return hashlib.sha256(f"{email or ''}\0{team_id or ''}".encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def account_name(self) -> str | None:
        """The account as the user knows it; None if its email address is not known."""
        return account_name(self.email, self.team_id)

    @property
    def is_read_only(self) -> bool:
        """Whether it is known to allow no changes."""
        return self.grant is not None and self.grant.read_only

    def is_same_connection(self, other: Credential | None) -> bool:
        """Return whether both come from the same sign-in. A refresh does not make another connection."""
        return other is not None and (self.since, self.method, self.account) == (
            other.since,
            other.method,
            other.account,
        )


def account_name(email: str | None, team_id: str | None) -> str | None:
    """Return an account as the user knows it: the email address, and the team if it is not the personal account."""
    return email if email is None or team_id is None else f"{email} (team {team_id})"


class TokenSet(msgspec.Struct, frozen=True, kw_only=True):
    """Response of the token endpoint (RFC 6749, section 5.1)."""

    access_token: Secret
    refresh_token: Secret | None = None
    id_token: Secret | None = None
    expires_in: float | None = None
    """Seconds for which the access token is valid, if the server states it."""


class GrantInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What Upstash says about the grant of an access token."""

    email: str | None
    team_id: str | None = None
    team_role: str | None = None
    read_only: bool = False
    blocked: bool = False


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """This installation as a client of an authorization server (RFC 7591). It has no secret."""

    issuer: str
    client_id: str
    client_name: str
    """The name by which the user recognizes it in the Upstash console."""


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
    ca_file: str | None = None
    """The certificate that clients must trust for TLS. None if it is one that they trust already, as with Upstash."""


class CommandReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to one Redis command: a value, or an error of the database."""

    result: bytes = b"null"
    """The value as JSON, which is not parsed: it can be large, and nested to any depth."""
    error: str | None = None

    def __repr__(self) -> str:
        return "CommandReply(…)"


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
