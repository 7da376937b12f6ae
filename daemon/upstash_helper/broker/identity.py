"""
Identities of apps and callers, and the scopes that they can have.

An identity is verified: the browser vouches for an origin, the operating system for an executable. The name that an app
gives itself is not part of it, and is always shown after it.
"""

from __future__ import annotations

import ipaddress
import re
from contextvars import ContextVar
from typing import Final, get_args

import msgspec

from upstash_helper.protocol.literals import Audience, CallerKind, IdentityKind, ProgramWarning, Scope
from upstash_helper.protocol.pages_origin import is_on_site

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

MEANING: Final[dict[Scope, str]] = {
    "connection:read": "See whether an Upstash account is connected, and its email address",
    "connection:write": (
        "Start sign-ins and, while no account is connected, connect any account, even one of its own; you are asked "
        "before it replaces an account"
    ),
    "databases:read": "List your databases with their settings, usage, and backups, without passwords",
    "databases:write": "Create, rename, and change databases, and reset their passwords; this can cost money",
    "databases:delete": "Delete databases, all their data, and their backups",
    "databases:credentials": "Read the passwords and tokens of databases that the app created",
    "databases:commands": "Run Redis commands that read, change, and delete data, in databases that the app created",
    "upstash:read": "Read everything in your Upstash account, including the passwords of all databases",
    "upstash:write": "Do anything in your Upstash account that the connection allows, such as delete data, spend "
    "money, or add team members, who keep their access when you revoke the app",
}
"""What each scope allows: a phrase that starts with a verb, shown in lists such as "Wants to" and "Allowed to"."""

STRONG: Final[frozenset[Scope]] = frozenset(
    {"databases:delete", "databases:credentials", "databases:commands", "upstash:read", "upstash:write"}
)
"""Scopes that can destroy, spend, or reveal something. To grant one, the user takes a second step."""


def all_databases_meaning(scopes: tuple[Scope, ...]) -> str | None:
    """Return what the option "all databases" adds to ``scopes``, as a phrase like those of ``MEANING``, if anything."""
    match "databases:credentials" in scopes, "databases:commands" in scopes:
        case True, True:
            return "Read the passwords of all your databases and run commands in them, not only the app's own"
        case True, False:
            return "Read the passwords and tokens of all your databases, not only of those that the app created"
        case False, True:
            return "Run Redis commands in all your databases, not only in those that the app created"
        case _:
            return None


def ordered(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    """Return ``scopes`` without duplicates, in the order in which scopes are always shown."""
    return tuple(scope for scope in SCOPES if scope in scopes)


LOCAL_PROGRAM: Final = "a local program"

# RFC 1035, section 2.3.4. Also about the longest name that a person can check in a prompt.
_MAX_HOST_LENGTH: Final = 253

# RFC 6454, section 6.2: the ASCII serialization. Browsers send it in lowercase and without a default port.
_WEB: Final = re.compile(r"https://(?P<host>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:(?P<port>[1-9][0-9]{0,4}))?")
# http is safe on loopback, since no network can forge it. RFC 6761, section 6.3: *.localhost is loopback, too.
_LOOPBACK: Final = re.compile(
    r"http://(?P<host>(?:[a-z0-9-]{1,63}\.)*localhost|127\.0\.0\.1|\[::1\])(:(?P<port>[1-9][0-9]{0,4}))?"
)
_EXTENSION: Final = re.compile(
    r"chrome-extension://[a-p]{32}"
    r"|(moz-extension|safari-web-extension)://[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
# A host whose last label is one is an IPv4 address.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
# An unprintable path is always unprintable.
_LASTING: Final[frozenset[ProgramWarning]] = frozenset({"sandboxed", "unprintable"})
_DEFAULT_PORT: Final = {"https": "443", "http": "80"}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A web origin, a browser extension, or a native program."""

    kind: IdentityKind
    name: str
    """The exact origin; for a native program its executable, or empty if the system does not report it."""
    program: str = ""
    """
    The executable that sent the request, if the system reports it; for a page or an extension, the browser. Only a
    browser vouches for an origin: any other program can send an arbitrary one. For a native program, empty unless
    another program, which it started, forwarded the request.
    """
    pid: int | None = None
    """
    Process ID of that program at the time of the request; for a native program whose requests are forwarded by another
    program, its own process ID.
    """
    sender_pid: int | None = None
    """Process ID of the program that forwarded the request of a native program. Not stored."""
    warnings: tuple[ProgramWarning, ...] = ()
    """Why the file at that path may not be the program that sent the request."""
    others: tuple[str, ...] = ()
    """Other programs that may have sent it, for display."""

    @property
    def key(self) -> str:
        """
        Key that two requests of the same app share: everything but the process. A program whose path is doubtful, such
        as one in a container, does not share the key of the program that really has this path.
        """
        # No name contains a line break, so no path can imitate a warning.
        warnings = self.warnings if self.kind == "native" else ()
        return "\n".join((f"{self.kind}:{self.name}", *warnings))

    @property
    def lasting(self) -> Identity:
        """
        The identity without what a program can change from one request to the next, such as whether a child process
        holds its connection, too. That a program is in a container or sandbox stays: another file can be at its path.
        """
        if self.kind != "native":
            return self
        warnings = tuple(warning for warning in self.warnings if warning in _LASTING)
        return msgspec.structs.replace(self, warnings=warnings, others=())

    @property
    def sending_pid(self) -> int | None:
        """The process that sent the request of a native program; None if it is unknown, as after a restart."""
        return self.sender_pid if self.sender_pid is not None or self.program else self.pid

    @property
    def limits_key(self) -> str:
        """Key that requests share which limits and blocks treat alike."""
        return self.lasting.key

    @property
    def shown(self) -> str:
        """The identity for display, with the process ID while the process exists."""
        if self.kind != "native":
            return self.name
        return describe_program(self.name or LOCAL_PROGRAM, pid=self.pid, warnings=self.warnings)

    @property
    def shown_without_pid(self) -> str:
        """The identity for display, without the process ID."""
        if self.kind != "native":
            return self.name
        return describe_program(self.name or LOCAL_PROGRAM, warnings=self.warnings)

    @property
    def shown_sender(self) -> str:
        """The program that sent the request; an empty string if that is the identity itself."""
        if self.kind == "native":
            return self.program
        return describe_program(self.program, pid=self.pid, warnings=self.warnings)

    @property
    def origin(self) -> str | None:
        """The origin that the app's tokens are bound to; None for a native program."""
        return None if self.kind == "native" else self.name


def describe_program(path: str, *, pid: int | None = None, warnings: tuple[ProgramWarning, ...] = ()) -> str:
    """Return a program for display: its path, its process, and, always, what makes the path doubtful."""
    # Imported late: a daemon that starts needs no texts.
    from upstash_helper.protocol.messages import PROGRAM_WARNINGS, UNKNOWN_PROGRAM

    notes = [] if pid is None else [f"process {pid}"]
    notes += [PROGRAM_WARNINGS[it].title for it in warnings]
    shown = path or UNKNOWN_PROGRAM
    return f"{shown} ({', '.join(notes)})" if notes else shown


def of_origin(origin: str) -> Identity | None:
    """
    Return the identity of ``origin``, or None if apps of this origin cannot have access. Only https, http on loopback,
    and browser extensions can, each as the exact string that a browser sends (RFC 6454, section 6.2). A name of the
    owner's pages cannot, since the user would take the app for the helper.
    """
    if is_on_site(origin):
        return None
    if _EXTENSION.fullmatch(origin):
        return Identity(kind="extension", name=origin)
    match = _WEB.fullmatch(origin) or _LOOPBACK.fullmatch(origin)
    if match is None or len(match["host"]) > _MAX_HOST_LENGTH or not _is_canonical(match["host"]):
        return None
    port = match["port"]
    if port is not None and (int(port) > 65_535 or port == _DEFAULT_PORT[origin.partition(":")[0]]):
        return None
    return Identity(kind="web", name=origin)


def _is_canonical(host: str) -> bool:
    """
    Return whether a browser sends ``host`` like this. It turns every form of an IP address, such as ``127.1``, into the
    usual one (https://url.spec.whatwg.org/#host-parsing), so a program that sends another form cannot imitate a page.
    """
    try:
        if host.startswith("["):
            address = ipaddress.IPv6Address(host[1:-1])
            return "." not in host and (address.ipv4_mapped is not None or str(address) == host[1:-1])
        if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
            return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False
    return True


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a token, and what the token allows."""

    kind: CallerKind
    id: str
    name: str
    identity: Identity | None = None
    """None for the owner, who is authenticated by a file that only this user can read."""
    scopes: tuple[Scope, ...] = ()
    all_databases: bool = False
    audience: Audience = "api"
    """Where the token is accepted."""
    page: str | None = None
    """The origin of the dashboard page from which the owner calls; None for the owner's command-line tools."""
    session: str | None = None
    """The session of that page; None for everyone else."""
    family: str | None = None
    """The refresh token that the caller's access token belongs to; None for tokens without one."""
    creator_key: str | None = None
    """Key under which the ledger records the databases that the caller creates; None for the owner."""

    @property
    def is_owner(self) -> bool:
        """Whether the caller is one of the user's own tools."""
        return self.kind == "owner"

    def has(self, scope: Scope) -> bool:
        """Return whether the caller has ``scope``. The owner has every scope."""
        return self.is_owner or scope in self.scopes

    @property
    def shown(self) -> str:
        """The verified identity for display."""
        return "this user's own tools" if self.identity is None else self.identity.shown_without_pid


CURRENT_CALLER: Final[ContextVar[str]] = ContextVar("current_caller", default="")
"""The ID of the caller whose request is being handled; empty for what the daemon does on its own."""

OWNER: Final = Caller(kind="owner", id="owner", name="owner")
