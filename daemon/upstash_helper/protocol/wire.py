"""
The loopback API's types: what goes over the wire, in one place.

The API validates requests and renders answers with these, clients read with them, and ``/openapi.json`` is generated
from them. Unknown fields in a request are refused, so a misspelt one is not silently ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from upstash_helper.protocol.literals import (
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
    StartedBy,
    TrayState,
)

DatabaseName = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[\w .:@+-]+$", description="Name of the database.")
]
RegionId = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9-]+$", examples=["us-east-1"])]
Budget = Annotated[int, Meta(ge=0, le=1_000_000, description="Monthly budget in US dollars.")]


class ResponseBody(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the API. Clients ignore fields that they do not know."""


class RequestBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""


class Sensitive(msgspec.Struct, frozen=True, kw_only=True):
    """A value whose fields do not print: its ``repr`` is its name alone."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


# --- problems ---------------------------------------------------------------------------------------------------------


class FieldError(ResponseBody, frozen=True, kw_only=True):
    """One thing that is wrong with a request."""

    pointer: Annotated[str, Meta(description="RFC 6901 JSON pointer into the body.", examples=["/primary_region"])]
    detail: str


class Problem(ResponseBody, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 problem details."""

    status: int
    code: Annotated[str, Meta(description="Stable: programs tell errors apart by it.", examples=["not_connected"])]
    title: str
    detail: Annotated[str, Meta(description="What happened and what to do about it, for a person.")]
    type: Annotated[str, Meta(examples=["about:blank"])] = "about:blank"
    errors: tuple[FieldError, ...] = ()
    retry_after: Annotated[int | UnsetType, Meta(description="Seconds.")] = UNSET
    applied: Annotated[
        tuple[str, ...], Meta(description="The fields that were changed before the failure (code `partly_applied`).")
    ] = ()
    links: Annotated[dict[str, str], Meta(description="Where to go on, by what is there.")] = {}


# --- the connection ---------------------------------------------------------------------------------------------------


class Account(ResponseBody, frozen=True, kw_only=True):
    """The connected Upstash account."""

    email: str


class CredentialStoreStatus(ResponseBody, frozen=True, kw_only=True):
    """Where the API key is kept, and how that is."""

    kind: Annotated[str, Meta(examples=["Secret Service"])]
    state: CredentialStoreState
    detail: str = ""


class NextStep(ResponseBody, frozen=True, kw_only=True, omit_defaults=True):
    """Something the user can do next."""

    text: Annotated[str, Meta(description="An instruction without a final period.")]
    command: Annotated[str, Meta(description="The command that does it, if there is one.")] = ""


class Attempt(ResponseBody, frozen=True, kw_only=True, omit_defaults=True):
    """One run of the OAuth flow."""

    attempt_id: str
    state: AttemptState
    expires_at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    waiting: Annotated[
        Literal["no_callback"] | UnsetType,
        Meta(description="While `pending`: the browser has been gone for long, and `detail` says what may be wrong."),
    ] = UNSET
    title: Annotated[str, Meta(description="The state, or why the attempt failed, in a few words for a person.")] = ""
    reason: Annotated[str | UnsetType, Meta(description="Why it failed: a stable code.")] = UNSET
    detail: Annotated[str | UnsetType, Meta(description="What went wrong, in sentences for a person.")] = UNSET
    next_steps: Annotated[
        tuple[NextStep, ...], Meta(description="What the user can do after a failure, the most helpful first.")
    ] = ()


class StartedAttempt(Attempt, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt, with the address at which the user signs in. Any app may open it; it holds no secret."""

    authorization_url: str
    browser_opened: Annotated[bool, Meta(description="Whether the daemon opened the user's browser.")] = False
    joined: Annotated[bool, Meta(description="Whether an attempt that was alive already was joined.")] = False


class Connection(ResponseBody, frozen=True, kw_only=True):
    """The daemon's link to one Upstash account."""

    state: ConnectionState
    title: Annotated[str, Meta(description="The state in a few words for a person.")] = ""
    detail: Annotated[
        str | UnsetType, Meta(description="What is wrong, in sentences for a person; absent if nothing is.")
    ] = UNSET
    next_steps: Annotated[tuple[NextStep, ...], Meta(description="What the user can do, the most helpful first.")] = ()
    account: Account | None = None
    method: ConnectionMethod | None = None
    since: Annotated[str | None, Meta(description="RFC 3339, UTC.")] = None
    api_key_name: Annotated[str | None, Meta(description="The key's name in the Upstash console.")] = None
    attempt: Annotated[Attempt | None, Meta(description="The attempt that runs, or the last one.")] = None
    credential_store: CredentialStoreStatus | None = None
    already_connected: Annotated[bool, Meta(description="Answer of a connect that had nothing to do.")] = False


class Connect(RequestBody, frozen=True, kw_only=True):
    """Start connecting an account."""

    open_browser: Annotated[bool | None, Meta(description="Open the user's browser; by default as configured.")] = None
    force: Annotated[bool, Meta(description="Sign in anew although an account is connected or an attempt runs.")] = (
        False
    )


class PastedAddress(RequestBody, frozen=True, kw_only=True):
    """What the browser's address bar shows after a sign-in that did not come back by itself."""

    address: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=12_288,
            description="All of it, or its query alone. Its `state` must be that of the attempt.",
            examples=["http://localhost:3000/?code=…&state=…"],
        ),
    ]

    def __repr__(self) -> str:
        return "PastedAddress(…)"


class ApiKey(RequestBody, frozen=True, kw_only=True):
    """An API key that the user made in the Upstash console."""

    email: Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^\s:@]+@[^\s:@]+$")]
    api_key: Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$")]

    def __repr__(self) -> str:
        return "ApiKey(…)"


class Email(RequestBody, frozen=True, kw_only=True):
    """The e-mail of the account, when the sign-in did not tell it."""

    email: Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^\s:@]+@[^\s:@]+$")]


class Disconnected(ResponseBody, frozen=True, kw_only=True):
    """What is left to do after a disconnect."""

    api_key_name: Annotated[
        str | None, Meta(description="The API key to delete in the Upstash console; Upstash has no call for it.")
    ]
    detail: str


# --- databases --------------------------------------------------------------------------------------------------------


class Region(ResponseBody, frozen=True, kw_only=True):
    """A place where a database can be."""

    id: RegionId
    name: Annotated[str, Meta(examples=["N. Virginia, USA"])]
    platform: Platform
    primary: Annotated[bool, Meta(description="A primary region can be here.")]
    read: Annotated[bool, Meta(description="A read region can be here.")]


class RegionList(ResponseBody, frozen=True, kw_only=True):
    """The regions that a create form offers."""

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
    """One page of the account's databases, by name."""

    databases: tuple[Database, ...]
    next_page_token: Annotated[str | None, Meta(description="Present while there are more: `?page_token=`.")] = None


class DatabaseCredentials(Sensitive, frozen=True, kw_only=True):
    """What lets a client into one database. Everything in it works as it is."""

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


class CreateDatabase(RequestBody, frozen=True, kw_only=True):
    """A database to be made. What is left out is left to Upstash."""

    name: DatabaseName
    primary_region: RegionId
    read_regions: Annotated[tuple[RegionId, ...], Meta(max_length=16, examples=[["eu-west-1"]])] = ()
    platform: Platform | None = None
    plan: Plan | None = None
    budget: Budget | None = None
    eviction: bool | None = None
    tls: bool | None = None


class ChangeDatabase(RequestBody, frozen=True, kw_only=True):
    """What to change of a database; what is left out stays. At least one field."""

    name: DatabaseName | UnsetType = UNSET
    eviction: bool | UnsetType = UNSET
    auto_upgrade: bool | UnsetType = UNSET
    daily_backup: bool | UnsetType = UNSET
    read_regions: Annotated[tuple[RegionId, ...], Meta(max_length=16, examples=[["eu-west-1"]])] | UnsetType = UNSET
    plan: Plan | UnsetType = UNSET
    budget: Budget | UnsetType = UNSET
    tls: Annotated[Literal[True], Meta(description="TLS can be turned on; Upstash has no way back.")] | UnsetType = (
        UNSET
    )


# --- the daemon itself ------------------------------------------------------------------------------------------------


class Health(ResponseBody, frozen=True, kw_only=True):
    """A constant: it tells that the helper is there and nothing else."""

    status: Literal["ok"] = "ok"
    service: Literal["upstash-helper"] = "upstash-helper"


class Listener(ResponseBody, frozen=True, kw_only=True):
    """One of the loopback addresses that the daemon listens on."""

    address: Annotated[str, Meta(examples=["127.0.0.1:3000", "[::1]:3000"])]
    state: ListenerState
    """
    ``absent``: the machine has no such address. ``taken``: another program has it. ``on_demand``: the daemon takes it
    for a sign-in, and none is running.
    """
    holder: Annotated[str | None, Meta(description="The program that has it, where the system tells.")] = None
    use: Annotated[ListenerUse, Meta(description="What is there: everything, or one of the two alone.")] = "all"


class Hint(ResponseBody, frozen=True, kw_only=True):
    """Something on this machine that may be in the way of a sign-in."""

    code: Annotated[str, Meta(description="Stable.", examples=["https_forced"])]
    detail: Annotated[str, Meta(description="What was seen and what to do about it, for a person.")]


class LedgerStatus(ResponseBody, frozen=True, kw_only=True):
    """What the helper remembers beyond a restart (apps, audit), and how that is."""

    state: Annotated[
        LedgerState,
        Meta(description="`unused` until it is needed; `memory`: it cannot be written and is lost at the next start."),
    ]
    detail: str = ""


class TrayStatus(ResponseBody, frozen=True, kw_only=True):
    """The tray icon: a process of its own, which the helper does without."""

    state: Annotated[
        TrayState,
        Meta(description="`attached` while one follows the events; else `unavailable`: it was not started, or cannot."),
    ]
    detail: Annotated[str, Meta(description="What to do where there is none.")] = ""
    backend: Annotated[str | None, Meta(examples=["statusnotifier"], description="How it gets on the panel.")] = None
    notifies: Annotated[bool, Meta(description="It, and not the helper, tells the user that an app waits.")] = False
    since: Annotated[str | None, Meta(description="RFC 3339, UTC.")] = None


class DaemonStatus(ResponseBody, frozen=True, kw_only=True):
    """The daemon's own state, for its owner."""

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
        str | None, Meta(description="Upstash's console; null where the API is another's, as a sandbox's.")
    ] = None
    started_by: Annotated[
        StartedBy,
        Meta(description="What started it: a connection to its socket, a service manager's unit, or a user's command."),
    ] = "user"


# --- events -----------------------------------------------------------------------------------------------------------


class DatabaseChange(ResponseBody, frozen=True, kw_only=True):
    """The data of a `database` event."""

    change: DatabaseEvent
    id: str
    name: str | None = None
