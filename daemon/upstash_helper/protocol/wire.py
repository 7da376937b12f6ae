"""
The wire types of the loopback API.

The API validates requests and encodes responses with them, clients decode with them, and ``/openapi.json`` is generated
from them. Requests with unknown fields are rejected, so that a misspelled field is not silently ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from upstash_helper.protocol.literals import (
    AccountAccess,
    AttemptState,
    ConnectionMethod,
    ConnectionState,
    CredentialStoreState,
    DatabaseEvent,
    LedgerState,
    ListenerState,
    ListenerUse,
    Plan,
    Platform,
    SignInFlow,
    StartedBy,
    TrayState,
    Upstream,
)
from upstash_helper.system.allowed import ALLOWED

DatabaseName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[\w .:@+-]+$",
        description="Name of the database.",
        extra={ALLOWED: "letters, digits, spaces, and _ . : @ + -"},
    ),
]
RegionId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=40,
        pattern=r"^[a-z0-9-]+$",
        examples=["us-east-1"],
        extra={ALLOWED: "the ID of a region, such as us-east-1, in lower case"},
    ),
]
PastedEmail = Annotated[
    str,
    Meta(
        max_length=1024,
        description="An email address, as it was copied: white space, quotes, and invisible characters around it are "
        "removed. If the rest is not an email address, the request is refused with the reason.",
    ),
]
Budget = Annotated[int, Meta(ge=0, le=1_000_000, description="Monthly budget in US dollars.")]


class ResponseBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a response. Clients ignore unknown fields."""


class RequestBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request. Unknown fields are rejected."""


class Recorded(ResponseBody, frozen=True, kw_only=True, omit_defaults=True):
    """The response to a change that takes effect at once and is saved afterwards."""

    recorded: Annotated[
        bool,
        Meta(
            description=(
                "False: the change has taken effect, but is not saved yet; it will be as soon as the disk allows it. "
                "Absent or true: it is saved."
            )
        ),
    ] = True
    notice: Annotated[
        str, Meta(description="With `recorded: false`: what to tell the user, in sentences, unless `detail` says it.")
    ] = ""


class Sensitive(msgspec.Struct, frozen=True, kw_only=True):
    """A value with secrets in its fields. Its ``repr`` shows none of them."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


# --- problems ---------------------------------------------------------------------------------------------------------


class FieldError(ResponseBody, frozen=True, kw_only=True):
    """One error in a request."""

    pointer: Annotated[str, Meta(description="RFC 6901 JSON pointer into the body.", examples=["/primary_region"])]
    detail: str


class Problem(ResponseBody, frozen=True, kw_only=True, omit_defaults=True):
    """An error as problem details (RFC 9457)."""

    status: int
    code: Annotated[str, Meta(description="Stable: programs tell errors apart by it.", examples=["not_connected"])]
    title: Annotated[str, Meta(description="The problem in a few words for a person.")]
    detail: Annotated[str, Meta(description="What happened and what to do about it, in sentences for a person.")]
    type: Annotated[str, Meta(examples=["about:blank"])] = "about:blank"
    errors: tuple[FieldError, ...] = ()
    error: Annotated[
        str | UnsetType,
        Meta(description="Below `/upstash/` only: the same as `detail`, where clients of Upstash's API look for it."),
    ] = UNSET
    retry_after: Annotated[int | UnsetType, Meta(description="Seconds.")] = UNSET
    applied: Annotated[
        tuple[str, ...], Meta(description="The fields that were changed before the failure (code `partly_applied`).")
    ] = ()
    links: Annotated[dict[str, str], Meta(description="Related paths, by name.")] = {}


# --- the connection ---------------------------------------------------------------------------------------------------


class Account(ResponseBody, frozen=True, kw_only=True):
    """The connected Upstash account."""

    email: str
    team_id: Annotated[str | None, Meta(description="The team that is connected; null: the personal account.")] = None
    team_role: str | None = None


class CredentialStoreStatus(ResponseBody, frozen=True, kw_only=True):
    """The store of the credential, and its state."""

    kind: Annotated[str, Meta(examples=["Secret Service"])]
    state: CredentialStoreState
    detail: str = ""


class NextStep(ResponseBody, frozen=True, kw_only=True, omit_defaults=True):
    """Something the user can do next."""

    text: Annotated[str, Meta(description="An instruction without a final period.")]
    command: Annotated[str, Meta(description="The command that does it, if there is one.")] = ""


class Replacement(ResponseBody, frozen=True, kw_only=True):
    """The question whether the account of an app's sign-in replaces the connected one. For the owner only."""

    title: Annotated[str, Meta(description="The question.")]
    detail: Annotated[
        str, Meta(description="Who asks, and what a replacement would change, in sentences for a person.")
    ]
    replaces: Annotated[
        str | None, Meta(description="The connected account, if it is known: its email address, and the team.")
    ]
    email: Annotated[str | None, Meta(description="The new account, if it is known: its email address, and the team.")]
    requested_by: Annotated[str, Meta(description="The verified identity of the app that started the sign-in.")]
    claimed_name: Annotated[str, Meta(description="The name that the app gives itself.")]


class Attempt(Recorded, frozen=True, kw_only=True, omit_defaults=True):
    """One run of the OAuth flow."""

    attempt_id: str
    state: AttemptState
    expires_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    waiting: Annotated[
        Literal["no_callback"] | UnsetType,
        Meta(description="While `pending`: the browser has been away for long, and `detail` has a hint."),
    ] = UNSET
    title: Annotated[str, Meta(description="The state, or why the attempt failed, in a few words for a person.")] = ""
    reason: Annotated[str | UnsetType, Meta(description="Why it failed: a stable code.")] = UNSET
    detail: Annotated[str | UnsetType, Meta(description="What went wrong, in sentences for a person.")] = UNSET
    next_steps: Annotated[
        tuple[NextStep, ...], Meta(description="What the user can do after a failure, the most helpful first.")
    ] = ()
    replacement: Annotated[
        Replacement | UnsetType, Meta(description="With `confirmation_required`, for the owner: what to decide.")
    ] = UNSET


class StartedAttempt(Attempt, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt, for the caller that starts or joins it."""

    authorization_url: Annotated[
        str,
        Meta(
            description="The URL at which the user signs in, while the attempt is `pending`. Any program that has it "
            "can finish the sign-in or make it fail, so it is absent for a caller that joins the attempt."
        ),
    ] = ""
    link: Annotated[
        str,
        Meta(
            description="A one-time link to `authorization_url` for starting a browser, if the owner requested it and "
            "it is possible. It may be on a command line: it works once, for half a minute, and only for this user."
        ),
    ] = ""
    browser_opened: Annotated[bool, Meta(description="Whether the daemon opened the user's browser.")] = False
    browser_retry_after: Annotated[
        int | UnsetType,
        Meta(description="Seconds until the daemon opens a browser for this app again, if it did not do so now."),
    ] = UNSET
    joined: Annotated[bool, Meta(description="Whether a pending attempt was joined.")] = False


class Connection(ResponseBody, frozen=True, kw_only=True):
    """The connection to one Upstash account."""

    state: ConnectionState
    title: Annotated[str, Meta(description="The state in a few words for a person.")] = ""
    detail: Annotated[
        str | UnsetType, Meta(description="What is wrong, in sentences for a person; absent if nothing is.")
    ] = UNSET
    next_steps: Annotated[tuple[NextStep, ...], Meta(description="What the user can do, the most helpful first.")] = ()
    account: Account | None = None
    access: Annotated[
        AccountAccess | None,
        Meta(description="What Upstash allows. `read_only`: changes are refused. Null: not known, as for an API key."),
    ] = None
    method: ConnectionMethod | None = None
    sign_in: Annotated[
        SignInFlow | None,
        Meta(description="The sign-in that connecting starts. Null: none is possible, only an API key can be used."),
    ] = None
    since: Annotated[str | None, Meta(description="RFC 3339, UTC.")] = None
    api_key_name: Annotated[str | None, Meta(description="The key's name in the Upstash console.")] = None
    grant_name: Annotated[
        str | None,
        Meta(description="For the owner: the sign-in's name in the Upstash console (Account > OAuth Clients)."),
    ] = None
    attempt: Annotated[Attempt | None, Meta(description="The pending attempt, or the last one.")] = None
    credential_store: CredentialStoreStatus | None = None
    already_connected: Annotated[
        bool, Meta(description="An account was connected already, so no sign-in was started.")
    ] = False
    can_sign_in: Annotated[
        bool,
        Meta(description="Whether a sign-in can be started; if not, `detail` has the reason."),
    ] = True


class Connect(RequestBody, frozen=True, kw_only=True):
    """Start connecting an account."""

    open_browser: Annotated[bool | None, Meta(description="Open the user's browser. Default: the setting.")] = None
    force: Annotated[
        bool,
        Meta(description="Owner only: start a new sign-in even if an account is connected or an attempt is pending."),
    ] = False


class PastedAddress(RequestBody, frozen=True, kw_only=True):
    """The browser's address after a sign-in whose redirect did not reach the daemon."""

    address: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=12_288,
            description="The whole address, or its query only. Its `state` must be that of the attempt.",
            examples=["http://localhost:3000/?code=…&state=…"],
        ),
    ]

    def __repr__(self) -> str:
        return "PastedAddress(…)"


class ApiKey(RequestBody, frozen=True, kw_only=True):
    """An API key that the user created in the Upstash console."""

    email: PastedEmail
    api_key: Annotated[
        str,
        Meta(
            max_length=1024,
            description="As it was copied: white space, quotes, invisible characters, and the name of a variable "
            "around it are removed. If the rest is not an API key, the request is refused with the reason.",
        ),
    ]

    def __repr__(self) -> str:
        return "ApiKey(…)"


class Email(RequestBody, frozen=True, kw_only=True):
    """The account's email address, if the sign-in did not provide it."""

    email: PastedEmail


class Disconnected(Recorded, frozen=True, kw_only=True):
    """Result of a disconnect."""

    api_key_name: Annotated[
        str | None, Meta(description="The API key to delete in the Upstash console, since Upstash has no API for that.")
    ]
    grant_name: Annotated[
        str | None,
        Meta(
            description="The sign-in that Upstash was asked to revoke, by its name in the console (Account > OAuth "
            "Clients)."
        ),
    ] = None
    detail: str


# --- databases --------------------------------------------------------------------------------------------------------


class Region(ResponseBody, frozen=True, kw_only=True):
    """A region in which databases can be created."""

    id: RegionId
    name: Annotated[str, Meta(examples=["N. Virginia, USA"])]
    platform: Platform
    primary: Annotated[bool, Meta(description="Can be a primary region.")]
    read: Annotated[bool, Meta(description="Can be a read region.")]


class RegionList(ResponseBody, frozen=True, kw_only=True):
    """The regions that a form for creating databases can offer."""

    regions: tuple[Region, ...]


class Database(ResponseBody, frozen=True, kw_only=True):
    """A Redis database, without its credentials."""

    id: str
    name: str
    state: Annotated[str, Meta(examples=["active"])]
    host: str
    port: int
    tls: bool
    rest_url: str
    plan: str
    primary_region: str
    read_regions: tuple[str, ...]
    eviction: bool
    auto_upgrade: bool
    daily_backup: bool
    budget: int | None
    created_at: Annotated[str, Meta(description="RFC 3339, UTC.")]


class DatabaseList(ResponseBody, frozen=True, kw_only=True):
    """One page of the account's databases, sorted by name."""

    databases: tuple[Database, ...]
    next_page_token: Annotated[str | None, Meta(description="Present while there are more: `?page_token=`.")] = None


class DatabaseCredentials(Sensitive, frozen=True, kw_only=True):
    """A database's connection credentials, ready to use."""

    id: str
    name: str
    host: str
    port: int
    tls: bool
    username: str
    password: str
    redis_url: Annotated[str, Meta(examples=["rediss://default:…@beloved-stallion-58500.upstash.io:6379"])]
    rest_url: str
    rest_token: str
    read_only_rest_token: str
    env: Annotated[dict[str, str], Meta(description="Variables for a `.env` file.")]
    ca_file: Annotated[
        str | None,
        Meta(
            description="The certificate file that Redis clients must trust, for a database with TLS in a sandbox on "
            "this machine; null otherwise. It is also `REDIS_CA_FILE` in `env`."
        ),
    ] = None
    ca_usage: Annotated[
        dict[str, str], Meta(description="How Redis clients use `REDIS_CA_FILE`, by client. Empty without `ca_file`.")
    ] = {}


class CreateDatabase(RequestBody, frozen=True, kw_only=True):
    """A database to create. Upstash chooses the value of omitted fields."""

    name: DatabaseName
    primary_region: RegionId
    read_regions: Annotated[tuple[RegionId, ...], Meta(max_length=16, examples=[["eu-west-1"]])] = ()
    platform: Platform | None = None
    plan: Plan | None = None
    budget: Budget | None = None
    eviction: bool | None = None
    tls: Annotated[bool | None, Meta(description="Require TLS. In a sandbox, the default is false.")] = None


class ChangeDatabase(RequestBody, frozen=True, kw_only=True):
    """Changes of a database, at least one. Omitted fields stay unchanged."""

    name: DatabaseName | UnsetType = UNSET
    eviction: bool | UnsetType = UNSET
    auto_upgrade: bool | UnsetType = UNSET
    daily_backup: bool | UnsetType = UNSET
    read_regions: Annotated[tuple[RegionId, ...], Meta(max_length=16, examples=[["eu-west-1"]])] | UnsetType = UNSET
    plan: Plan | UnsetType = UNSET
    budget: Budget | UnsetType = UNSET
    tls: Annotated[Literal[True], Meta(description="Require TLS. This cannot be undone.")] | UnsetType = UNSET


# --- the daemon itself ------------------------------------------------------------------------------------------------


class Health(ResponseBody, frozen=True, kw_only=True):
    """A constant response that identifies the helper and reveals nothing else."""

    status: Literal["ok"] = "ok"
    service: Literal["upstash-helper"] = "upstash-helper"


class Stopping(Recorded, frozen=True, kw_only=True):
    """The helper is stopping."""

    status: Literal["ok"]
    service: Literal["upstash-helper"]


class Listener(ResponseBody, frozen=True, kw_only=True):
    """A loopback address of the daemon."""

    address: Annotated[str, Meta(examples=["127.0.0.1:3000", "[::1]:3000"])]
    state: ListenerState
    holder: Annotated[str | None, Meta(description="The program that has the address, if the system reports it.")] = (
        None
    )
    use: Annotated[
        ListenerUse, Meta(description="What is served there: everything, the API only, or sign-ins only.")
    ] = "all"


class Hint(ResponseBody, frozen=True, kw_only=True):
    """Something on this machine that may interfere with a sign-in."""

    code: Annotated[str, Meta(description="Stable.", examples=["https_forced"])]
    detail: Annotated[str, Meta(description="What was observed and what to do about it, for a person.")]


class LedgerStatus(ResponseBody, frozen=True, kw_only=True):
    """State of the ledger, which stores apps and audit entries across restarts."""

    state: Annotated[
        LedgerState,
        Meta(description="`unused` until it is needed. `memory`: it cannot be written and is lost at the next start."),
    ]
    detail: str = ""


class TrayStatus(ResponseBody, frozen=True, kw_only=True):
    """State of the tray icon, which is an optional separate process."""

    state: Annotated[
        TrayState,
        Meta(description="`attached` while a tray follows the events, otherwise `unavailable`."),
    ]
    detail: Annotated[str, Meta(description="What to do if there is none.")] = ""
    backend: Annotated[str | None, Meta(examples=["statusnotifier"], description="How it is shown on the panel.")] = (
        None
    )
    notifies: Annotated[bool, Meta(description="The tray, not the helper, notifies the user of access requests.")] = (
        False
    )
    since: Annotated[str | None, Meta(description="RFC 3339, UTC.")] = None


class Network(ResponseBody, frozen=True, kw_only=True):
    """How the daemon connects to Upstash, which depends on the environment in which it was started."""

    proxy: Annotated[
        str | None, Meta(description="The HTTP proxy, without its user and password; null if there is none.")
    ] = None
    proxy_source: Annotated[
        str | None, Meta(description="The setting or variable that names it; without `proxy`, one that cannot be used.")
    ] = None
    no_proxy: Annotated[str | None, Meta(description="The hosts that are contacted directly, as they are set.")] = None
    ca_file: Annotated[str | None, Meta(description="The file with certificates that are trusted, if one is set.")] = (
        None
    )


class DaemonStatus(ResponseBody, frozen=True, kw_only=True):
    """State of the daemon, for its owner."""

    version: str
    api_version: int
    pid: int
    profile: str
    started_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    listeners: tuple[Listener, ...]
    connection: Connection
    hints: tuple[Hint, ...] = ()
    log_file: str | None = None
    ledger: LedgerStatus | None = None
    tray: TrayStatus | None = None
    console_url: Annotated[
        str | None, Meta(description="Upstash's console; null if the API is not Upstash's own, such as a sandbox.")
    ] = None
    auth_url: Annotated[str | None, Meta(description="The authorization server that it uses.")] = None
    api_url: Annotated[str | None, Meta(description="The Developer API that it uses, without `/v2`.")] = None
    upstream: Annotated[
        Upstream,
        Meta(
            description="The upstream: Upstash, a sandbox on this machine (`upstash-helper sandbox`), or another server"
            " named in the settings."
        ),
    ] = "upstash"
    started_by: Annotated[
        StartedBy,
        Meta(description="What started it: a connection to its socket, a service manager, or a command of the user."),
    ] = "user"
    open_browser: Annotated[
        bool, Meta(description="Whether connecting opens the user's browser unless the caller says otherwise.")
    ] = True
    auto_approve: Annotated[
        bool, Meta(description="Whether access requests are approved automatically. Only with a sandbox.")
    ] = False
    network: Annotated[
        Network | None, Meta(description="How it connects to Upstash; null if the system does not say in time.")
    ] = None


# --- events -----------------------------------------------------------------------------------------------------------


class DatabaseChange(ResponseBody, frozen=True, kw_only=True):
    """The data of a `database` event."""

    change: DatabaseEvent
    id: str
    name: str | None = None
