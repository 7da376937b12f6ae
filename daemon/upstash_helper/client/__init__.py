"""
Synchronous clients of the daemon: ``Helper`` for apps, ``DaemonClient`` for the user's own tools.

An app requests access once, and then uses the user's databases::

    from upstash_helper.client import Helper

    helper = Helper.pair(name="Orders tool", scopes=("databases:read",), reason="Lists your databases")
    print([database.name for database in helper.databases.list()])

The user's own tools use the owner token in the discovery file::

    from upstash_helper.client import DaemonClient

    with DaemonClient.discover(runtime_folder) as daemon:
        print(daemon.connection().state)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.client.errors import (
        ApiProblem,
        AppBlocked,
        DaemonUnreachable,
        DatabaseNotFound,
        InsufficientScope,
        NotConnected,
        NotTheCreator,
        OutcomeUnknown,
        PairingDenied,
        PairingExpired,
        PairingPending,
        PairingRefused,
        PairingReplaced,
        RateLimited,
        ReadOnlyAccess,
        ReconnectRequired,
        RequestInProgress,
        SignedOut,
        SignInFailed,
        TokenRevoked,
        TokenStoreLocked,
        TokenStoreUnavailable,
        TooManyPairings,
        UnexpectedAnswer,
        WaitTimedOut,
    )
    from upstash_helper.client.events import Event
    from upstash_helper.client.helper import Helper
    from upstash_helper.client.token_store import FileTokens, KeyringTokens, MemoryTokens, TokenStore
    from upstash_helper.protocol.errors import ClientError, DiscoveryRefused, VersionMismatch
    from upstash_helper.protocol.literals import Scope
    from upstash_helper.protocol.wire import Connection, Database, DatabaseCredentials, Region
    from upstash_helper.protocol.wire_apps import TokenInfo

__all__ = [
    "ApiProblem",
    "AppBlocked",
    "ClientError",
    "Connection",
    "DaemonClient",
    "DaemonUnreachable",
    "Database",
    "DatabaseCredentials",
    "DatabaseNotFound",
    "DiscoveryRefused",
    "Event",
    "FileTokens",
    "Helper",
    "InsufficientScope",
    "KeyringTokens",
    "MemoryTokens",
    "NotConnected",
    "NotTheCreator",
    "OutcomeUnknown",
    "PairingDenied",
    "PairingExpired",
    "PairingPending",
    "PairingRefused",
    "PairingReplaced",
    "RateLimited",
    "ReadOnlyAccess",
    "ReconnectRequired",
    "Region",
    "RequestInProgress",
    "Scope",
    "SignInFailed",
    "SignedOut",
    "TokenInfo",
    "TokenRevoked",
    "TokenStore",
    "TokenStoreLocked",
    "TokenStoreUnavailable",
    "TooManyPairings",
    "UnexpectedAnswer",
    "VersionMismatch",
    "WaitTimedOut",
]

# The module of each name; all others are in ``client.errors``.
_MODULES = {
    "ClientError": "protocol.errors",
    "Connection": "protocol.wire",
    "DaemonClient": "client.daemon",
    "Database": "protocol.wire",
    "DatabaseCredentials": "protocol.wire",
    "DiscoveryRefused": "protocol.errors",
    "Event": "client.events",
    "FileTokens": "client.token_store",
    "Helper": "client.helper",
    "KeyringTokens": "client.token_store",
    "MemoryTokens": "client.token_store",
    "Region": "protocol.wire",
    "Scope": "protocol.literals",
    "TokenInfo": "protocol.wire_apps",
    "TokenStore": "client.token_store",
    "VersionMismatch": "protocol.errors",
}


def __getattr__(name: str) -> object:
    # Imported on first use, so that a module that needs only the errors does not load an HTTP client.
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    return getattr(import_module(f"upstash_helper.{_MODULES.get(name, 'client.errors')}"), name)
