"""
The fixed values of the API: states, reasons, scopes, plans, and loopback hosts.

Values are stable. A value may be added; programs that read one must expect values that they do not know.
"""

from __future__ import annotations

from typing import Final, Literal

# --- the connection ---------------------------------------------------------------------------------------------------

ConnectionState = Literal[
    "disconnected",
    "connecting",
    "connected",
    "needs_email",
    "reconnect_required",
    "keyring_locked",
    "keyring_unavailable",
    "port_conflict",
]
ConnectionMethod = Literal["oauth", "api_key", "grant"]
"""
``oauth``: the partner sign-in, after which the daemon created an API key. ``api_key``: an API key that the user
entered. ``grant``: the open sign-in, without an API key.
"""
SignInFlow = Literal["open", "partner"]
"""``open``: at Upstash's public authorization server. ``partner``: with an OAuth client ID that Upstash gave out."""
AccountAccess = Literal["full", "read_only"]

AttemptState = Literal["pending", "exchanging", "confirmation_required", "succeeded", "failed", "expired"]
"""``confirmation_required``: an app's sign-in would replace the connected account, and the user must decide."""

FailureReason = Literal[
    "access_denied",  # the user canceled the sign-in at Upstash
    "login_required",
    "consent_required",
    "unauthorized",  # Auth0: a rule of the tenant refused the user
    "invalid_request",  # the authorization server refused the request (also invalid_scope)
    "invalid_client",  # the authorization server does not know the client ID
    "registration_lost",  # the authorization server no longer knows this installation, which registers again
    "invalid_grant",  # the code was used before, has expired, or belongs to another client
    "rate_limited",
    "server_error",
    "network_error",  # no response
    "timeout",
    "invalid_response",  # a response that cannot be parsed
    "issuer_mismatch",  # RFC 9207
    "api_key_refused",  # signed in, but no Developer API key was created
    "api_key_limit",  # the account has the maximum number of API keys
    "keyring_locked",
    "keyring_unavailable",
    "cancelled",  # by the user, or because another attempt was forced
    "replacement_declined",  # the user keeps the account that was connected before
    "confirmation_timeout",  # the user did not decide in time whether to replace the account
    "account_not_confirmed",  # the new API key does not belong to the account that the tokens named
    "internal_error",
]
"""Why an attempt failed. (An attempt that expired has the reason ``expired``.)"""

CredentialStoreState = Literal["unknown", "ok", "locked", "unavailable"]
"""``unknown`` until the store has been used once."""

# --- apps -------------------------------------------------------------------------------------------------------------

Scope = Literal[
    "connection:read",
    "connection:write",
    "databases:read",
    "databases:write",
    "databases:delete",
    "databases:credentials",
    "databases:commands",
    "upstash:read",
    "upstash:write",
]

Audience = Literal["api", "mcp"]
"""Where a token is accepted: at the routes of the API, or at ``/mcp`` only."""

IdentityKind = Literal["web", "extension", "native"]
CallerKind = Literal["owner", "app"]

ProgramWarning = Literal["sandboxed", "deleted", "replaced", "unprintable", "shared", "unsearched", "unknown_starter"]
"""Why the file at a program's path may not be the program that sent a request; see ``messages.PROGRAM_WARNINGS``."""

SiteKind = Literal["domain", "loopback", "programs"]
"""What a block of a whole site covers: a registrable domain, all of loopback, or all programs."""
BlockScope = Literal["identity", "site"]

PairingState = Literal["pending", "approved", "denied", "expired"]

ConfirmationState = Literal["pending", "allowed", "denied", "expired"]
"""``expired``: the user did not answer in time, or the app no longer waits for the answer."""

RevokeReason = Literal["owner", "app", "misused", "expired"]
"""``app``: the app signed itself out. ``misused``: its token was used from elsewhere too often."""

# --- databases --------------------------------------------------------------------------------------------------------

Plan = Literal[
    "free", "payg", "fixed_250mb", "fixed_1gb", "fixed_5gb", "fixed_10gb", "fixed_50gb", "fixed_100gb", "fixed_500gb"
]
Platform = Literal["aws", "gcp"]

DatabaseEvent = Literal["created", "changed", "deleted"]

# --- the daemon -------------------------------------------------------------------------------------------------------

ListenerState = Literal["listening", "absent", "taken", "on_demand"]
"""
``absent``: the machine has no such address. ``taken``: another program has it. ``on_demand``: the daemon takes it for
a sign-in, and no sign-in is pending.
"""
ListenerUse = Literal["all", "api", "sign_in"]

LedgerState = Literal["unused", "ok", "memory", "unavailable"]
"""``unused`` until it is needed; ``memory``: it cannot be written, and its content is lost at the next start."""

TrayState = Literal["attached", "unavailable"]

StartedBy = Literal["socket", "service", "user"]
Upstream = Literal["upstash", "sandbox", "custom"]
"""
``sandbox``: all URLs are those of ``upstash-helper sandbox`` on this machine. ``custom``: the API is neither a
sandbox's nor Upstash's.
"""

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The hosts of URLs that lead to this machine, so that secrets may be sent to them without TLS."""
