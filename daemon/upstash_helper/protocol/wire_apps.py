"""The wire types for apps: pairings, apps, tokens, audit, dashboard sessions. See ``wire``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from upstash_helper.protocol.literals import (
    Audience,
    BlockScope,
    CallerKind,
    ConfirmationState,
    IdentityKind,
    PairingState,
    ProgramWarning,
    RevokeReason,
    Scope,
    SiteKind,
)
from upstash_helper.protocol.wire import Recorded, RequestBody, ResponseBody, Sensitive
from upstash_helper.system.allowed import ALLOWED, ONE_WORD

Timestamp = Annotated[str, Meta(description="RFC 3339, UTC.")]


class IdentityWarning(ResponseBody, frozen=True, kw_only=True):
    """Why the file at a program's path may not be the program that sent a request."""

    code: ProgramWarning
    text: Annotated[str, Meta(description="What it means, in whole sentences.")]


class Identity(ResponseBody, frozen=True, kw_only=True):
    """The verified identity of an app."""

    kind: IdentityKind
    name: Annotated[str, Meta(description="The exact origin, or the executable; empty if it is unknown.")]
    shown: Annotated[str, Meta(description="The identity for display.", examples=["https://app.example.com"])]
    program: Annotated[
        str,
        Meta(description="The executable that sent the request, if the system reports it; for a page, the browser."),
    ] = ""
    pid: int | None = None
    shown_without_process: Annotated[
        str, Meta(description="The identity for display, without the process, which may have ended.")
    ] = ""
    sent_by: Annotated[
        str,
        Meta(
            description="The program that sent the request, for display, unless it is the identity itself. For a page "
            "or an extension, it should be a browser: any program can send any origin. For a program, it is another "
            "program that it started to forward its requests."
        ),
    ] = ""
    warnings: Annotated[
        tuple[IdentityWarning, ...],
        Meta(description="Why the file at the program's path may not be the program that sent the request."),
    ] = ()
    others: Annotated[
        tuple[str, ...],
        Meta(description="Other programs that share the connection and may have sent the request, for display."),
    ] = ()


# --- pairing ----------------------------------------------------------------------------------------------------------


class PairingRequest(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """A request for access."""

    name: Annotated[str, Meta(min_length=1, max_length=256, description="The name the app gives itself.")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=16)]
    reason: Annotated[str, Meta(max_length=1024, description="Why the app needs access, in one sentence.")] = ""
    connect_if_needed: Annotated[
        bool,
        Meta(
            description="Also request `connection:write`, but only if no account is connected now. The response does "
            "not say whether it was added; the scopes that come with the token do."
        ),
    ] = False
    audience: Annotated[
        Audience,
        Meta(description="Where the token will be accepted. `mcp`: at `/mcp` only, for a program on this computer."),
    ] = "api"
    for_starter: Annotated[
        bool,
        Meta(
            description="Request access for the program that started the sender, such as an agent that started a "
            "bridge. The helper asks the operating system which program that is, and skips shells and the like."
        ),
    ] = False


class StartedPairing(Sensitive, frozen=True, kw_only=True):
    """A pending pairing. The app should show the code, so that the user can compare it with the one in the prompt."""

    id: str
    poll_secret: Annotated[str, Meta(description="Authenticates the app for this pairing: `Authorization: Bearer`.")]
    user_code: Annotated[str, Meta(examples=["WDJB-MJHT"], description="The prompt shows it, too.")]
    expires_at: Timestamp
    interval: Annotated[float, Meta(description="Seconds to wait between two polls.")]


class PairingStatus(ResponseBody, frozen=True, kw_only=True, omit_defaults=True):
    """State of a pairing."""

    id: str
    state: PairingState
    user_code: str
    expires_at: Timestamp
    replaced: Annotated[
        bool,
        Meta(description="Whether a new request from the same app has replaced this one. If so, `state` is `expired`."),
    ] = False


class Proof(ResponseBody, frozen=True, kw_only=True):
    """Proves that the helper knows a token, before a client sends the token."""

    proof: Annotated[
        str | None, Meta(description="HMAC-SHA256 in hexadecimal; null if the token is unknown, expired, or revoked.")
    ]


class NewToken(Sensitive, frozen=True, kw_only=True):
    """An app's token. It is returned only once."""

    token: str
    app_id: str
    scopes: tuple[Scope, ...]
    all_databases: bool
    expires_at: Annotated[str | None, Meta(description="RFC 3339, UTC; null: after 90 days without use.")]


class RequestedScope(ResponseBody, frozen=True, kw_only=True):
    """A scope that an app requests or has."""

    scope: Scope
    meaning: Annotated[str, Meta(description="What the scope allows, in plain language.")]
    strong: Annotated[
        bool,
        Meta(description="Whether it can destroy, spend, or reveal something: if so, ask twice before granting it."),
    ] = True  # a daemon of an earlier version does not say


class Site(ResponseBody, frozen=True, kw_only=True):
    """What a block of a whole site covers: more than one identity that the same party may control."""

    kind: SiteKind
    shown: Annotated[str, Meta(description="The site for display.", examples=["every page of example.com"])]
    detail: Annotated[str, Meta(description="What the block includes, for display.")]


class Pairing(Recorded, frozen=True, kw_only=True):
    """A request for access, as shown to the user: the verified identity first, then the name the app gives itself."""

    id: str
    identity: Identity
    claimed_name: Annotated[str, Meta(description="The name the app gives itself, which is not verified.")]
    user_code: str
    scopes: tuple[RequestedScope, ...]
    reason: str
    state: PairingState
    all_databases_meaning: Annotated[
        str | None, Meta(description="What the option `all_databases` would add (also strong); null if nothing.")
    ]
    site: Annotated[Site | None, Meta(description="What can be blocked together with the app; null if nothing.")] = None
    created_at: Timestamp
    expires_at: Timestamp
    via_bridge: Annotated[
        bool, Meta(description="Whether a pending request came through the helper's bridge window.")
    ] = False
    same_program: Annotated[
        str | None,
        Meta(
            description="What else the program of a pending request for access to `/mcp` has: access, or other pending"
            " requests. To be shown with the request; null if nothing."
        ),
    ] = None
    replaces: Annotated[
        str | None,
        Meta(description="The ID of the earlier request from the same app that this pending one replaced."),
    ] = None
    repeated: Annotated[
        bool, Meta(description="Whether the replaced request was identical, so that only the code is new.")
    ] = False
    replaced_by: Annotated[
        str | None, Meta(description="The ID of the request that replaced this one. If set, `state` is `expired`.")
    ] = None


class PairingList(ResponseBody, frozen=True, kw_only=True):
    """The pending requests, the oldest first."""

    pairings: tuple[Pairing, ...]


class Approve(RequestBody, frozen=True, kw_only=True):
    """Approve a request."""

    scopes: Annotated[
        tuple[Scope, ...] | None, Meta(description="A subset of the requested scopes. Default: all of them.")
    ] = None
    all_databases: Annotated[
        bool,
        Meta(
            description="Extend `databases:credentials` and `databases:commands` to all databases, not only those that "
            "the app created."
        ),
    ] = False
    once: Annotated[bool, Meta(description="Allow access for one hour only.")] = False


class Block(RequestBody, frozen=True, kw_only=True):
    """Block an app, or its whole site."""

    scope: Annotated[BlockScope, Meta(description="`site`: everything that the pairing's `site` names.")] = "identity"


class Blocked(Recorded, frozen=True, kw_only=True):
    """A blocked identity or site, which cannot request access."""

    id: str
    identity: Annotated[Identity, Meta(description="Whose request was blocked.")]
    site: Annotated[Site | None, Meta(description="The blocked site; null: only the identity is blocked.")] = None
    blocked_at: Timestamp


class BlockList(ResponseBody, frozen=True, kw_only=True):
    """The blocks."""

    blocks: tuple[Blocked, ...]


# --- confirmations ----------------------------------------------------------------------------------------------------


class Confirmation(Recorded, frozen=True, kw_only=True):
    """A question to the user before something is destroyed or written for an app."""

    id: str
    app_id: str
    identity: Annotated[Identity, Meta(description="The app's identity when it got access.")]
    claimed_name: Annotated[
        str, Meta(description="The name that the app gave itself, or that the user gave it. It is not verified.")
    ]
    action: Annotated[str, Meta(examples=["database.delete"])]
    title: Annotated[str, Meta(description="The question in one sentence, which names the target.")]
    detail: Annotated[str, Meta(description="What will be destroyed or written, in full sentences.")]
    target: Annotated[str, Meta(description="What is affected, such as a database's ID or the path of a file.")]
    lasting: Annotated[
        bool,
        Meta(description="True: a yes allows more than this once; `detail` says what. Absent or false: it does not."),
    ] = False
    state: ConfirmationState
    created_at: Timestamp
    expires_at: Timestamp


class ConfirmationList(ResponseBody, frozen=True, kw_only=True):
    """The questions that wait for the user, oldest first."""

    confirmations: tuple[Confirmation, ...]


# --- apps -------------------------------------------------------------------------------------------------------------


class App(ResponseBody, frozen=True, kw_only=True):
    """An app with access."""

    id: str
    name: str
    identity: Identity
    scopes: tuple[RequestedScope, ...]
    all_databases: bool
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Annotated[str | None, Meta(description="RFC 3339, UTC; null: after 90 days without use.")]
    folders: Annotated[
        tuple[str, ...],
        Meta(description="The folders in which the user allows it to write variables of databases that it created."),
    ] = ()
    mismatches: Annotated[int, Meta(description="How often its token was used from another origin or user.")]
    audience: Annotated[Audience, Meta(description="Where its tokens are accepted. `mcp`: at `/mcp` only.")] = "api"
    all_databases_meaning: Annotated[
        str | None, Meta(description="What `all_databases` adds to the scopes; null if it is false.")
    ] = None


class AppList(ResponseBody, frozen=True, kw_only=True):
    """The apps with access, the newest first."""

    apps: tuple[App, ...]


class RenameApp(RequestBody, frozen=True, kw_only=True):
    """Rename an app."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]


class TokenInfo(ResponseBody, frozen=True, kw_only=True):
    """The caller's token."""

    kind: CallerKind
    app_id: str | None = None
    name: str
    identity: Identity | None = None
    scopes: tuple[Scope, ...]
    all_databases: bool
    expires_at: str | None = None


class RevokedApp(ResponseBody, frozen=True, kw_only=True):
    """The data of a `revoked` event."""

    app_id: str
    name: str
    reason: RevokeReason


# --- the audit --------------------------------------------------------------------------------------------------------


class AuditEntry(ResponseBody, frozen=True, kw_only=True):
    """An audit entry: which app did what, when, and with which result."""

    id: int
    at: Timestamp
    last_at: Annotated[str, Meta(description="RFC 3339, UTC: time of the last request, if the entry covers several.")]
    count: int
    app_id: str
    app_name: str
    identity: str
    action: Annotated[str, Meta(examples=["database.create"])]
    target: Annotated[str, Meta(description="What it was about, for people. The ID, if there is one, comes first.")]
    result: Annotated[str, Meta(description="`started`, `ok`, or the code of the problem.")]


class AuditPage(ResponseBody, frozen=True, kw_only=True):
    """A page of audit entries, the newest first."""

    entries: tuple[AuditEntry, ...]
    next_page_token: Annotated[str | None, Meta(description="Present while there are more: `?page_token=`.")] = None


# --- the dashboard ----------------------------------------------------------------------------------------------------


class DashboardTicket(Sensitive, frozen=True, kw_only=True, omit_defaults=True):
    """A link that opens the dashboard with the owner's permissions. It works once."""

    url: Annotated[str, Meta(examples=["http://3f9ac0d2e8b14a77.upstash-helper.localhost:3000/#ticket=…"])]
    numeric_url: Annotated[
        str | None,
        Meta(
            description="The same for a browser that does not resolve names below `localhost`, if it was requested and "
            "is possible.",
            examples=["http://127.81.203.9:40123/#ticket=…"],
        ),
    ] = None
    link: Annotated[
        str | None,
        Meta(
            description="A one-time link to the same for starting a browser, if it was requested and is possible. It "
            "may be on a command line: it works once, for half a minute, and only for this user.",
            examples=["http://127.81.203.9:40123/links/…"],
        ),
    ] = None
    expires_at: Timestamp
    recorded: Annotated[bool, Meta(description="False if the audit entry could not be written yet.")] = True
    notice: Annotated[str, Meta(description="With `recorded: false`: what to tell the user, in sentences.")] = ""


class ShowDashboard(RequestBody, frozen=True, kw_only=True):
    """What the result page of a sign-in asks the daemon to show in the user's browser."""

    section: Annotated[
        Literal["overview", "connect", "key"],
        Meta(description="`connect`: with the question whether to sign in; `key`: with the dialog for an API key."),
    ] = "overview"


class DashboardShown(ResponseBody, frozen=True, kw_only=True):
    """Whether the user's browser was started. The page gets no address: who sees it may be an app."""

    opened: bool


class BeginSession(RequestBody, frozen=True, kw_only=True):
    """The ticket from a dashboard link, sent by the dashboard page."""

    ticket: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$", extra={ALLOWED: ONE_WORD})]

    def __repr__(self) -> str:
        return "BeginSession(…)"


class DashboardSession(Sensitive, frozen=True, kw_only=True):
    """The dashboard page's token. It expires when the daemon stops, or after some hours without use."""

    token: str
    expires_at: Timestamp
