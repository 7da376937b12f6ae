"""
Who an app is, as far as somebody other than the app vouches for it.

The browser vouches for an origin, the operating system for an executable. What the app says of itself is its name, and
is always shown second.
"""

from __future__ import annotations

import re
from typing import Final, get_args

import msgspec

from upstash_helper.protocol.literals import CallerKind, IdentityKind, Scope

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


LOCAL_PROGRAM: Final = "a local program"

# RFC 1035, section 2.3.4. What is longer is no name that a person could read in a prompt.
_LONGEST_HOST: Final = 253

# RFC 6454, section 6.2: the ASCII serialization, which browsers send in lower case and without a default port.
_WEB: Final = re.compile(r"https://(?P<host>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:(?P<port>[1-9][0-9]{0,4}))?")
# On loopback there is no network between page and browser that could forge it. RFC 6761, section 6.3: *.localhost too.
_LOOPBACK: Final = re.compile(
    r"http://(?P<host>(?:[a-z0-9-]{1,63}\.)*localhost|127\.0\.0\.1|\[::1\])(:(?P<port>[1-9][0-9]{0,4}))?"
)
_EXTENSION: Final = re.compile(
    r"chrome-extension://[a-p]{32}"
    r"|(moz-extension|safari-web-extension)://[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
_DEFAULT_PORT: Final = {"https": "443", "http": "80"}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A web origin, a browser extension, or a native program."""

    kind: IdentityKind
    name: str
    """The exact origin; for a native program its executable, or nothing where the system does not tell."""
    program: str = ""
    """
    The executable that sent the request, where the system tells: the browser, of a page or extension. The browser is
    who vouches for an origin, and any program can say one.
    """
    pid: int | None = None
    """Of that program, when it asked."""

    @property
    def key(self) -> str:
        """What makes two requests those of the same app-to-be: everything but the process."""
        return f"{self.kind}:{self.name}"

    @property
    def shown(self) -> str:
        """The identity for a person, as long as its process is there."""
        if self.kind != "native" or self.pid is None:
            return self.lasting
        return f"{self.lasting} (process {self.pid})"

    @property
    def lasting(self) -> str:
        """The identity for a person, beyond the process that it was."""
        return self.name or LOCAL_PROGRAM

    @property
    def origin(self) -> str | None:
        """The origin that its tokens are bound to; None for a native program."""
        return None if self.kind == "native" else self.name


def of_origin(origin: str) -> Identity | None:
    """
    Return whom ``origin`` names, or None if it is not one that can be let in: only https, http on loopback, and
    extensions of browsers are, each as the exact string that a browser sends (RFC 6454, section 6.2).
    """
    if _EXTENSION.fullmatch(origin):
        return Identity(kind="extension", name=origin)
    match = _WEB.fullmatch(origin) or _LOOPBACK.fullmatch(origin)
    if match is None or len(match["host"]) > _LONGEST_HOST:
        return None
    port = match["port"]
    if port is not None and (int(port) > 65_535 or port == _DEFAULT_PORT[origin.partition(":")[0]]):
        return None
    return Identity(kind="web", name=origin)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a token is, and what that lets it do."""

    kind: CallerKind
    id: str
    name: str
    identity: Identity | None = None
    """None for the owner, who is known by a file that only this user can read."""
    scopes: tuple[Scope, ...] = ()
    all_databases: bool = False
    page: str | None = None
    """The origin of the daemon's own page in which the owner calls; None for a program of the owner's."""
    creator_key: str | None = None
    """By what the databases that it creates are known as its own; None for the owner, to whom all belong."""

    @property
    def is_owner(self) -> bool:
        """Whether this is the user's own tools."""
        return self.kind == "owner"

    def has(self, scope: Scope) -> bool:
        """Return whether the caller was granted ``scope``; the owner has every one."""
        return self.is_owner or scope in self.scopes

    @property
    def shown(self) -> str:
        """The verified identity, for a person."""
        return "this user's own tools" if self.identity is None else self.identity.lasting


OWNER: Final = Caller(kind="owner", id="owner", name="owner")
