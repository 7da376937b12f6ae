"""
What every client of the daemon shares: the wire types, the discovery file, and a synchronous client.

::

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
        ClientError,
        DaemonUnreachable,
        DiscoveryRefused,
        UnexpectedAnswer,
        WaitTimedOut,
    )
    from upstash_helper.client.events import Event

__all__ = [
    "ApiProblem",
    "ClientError",
    "DaemonClient",
    "DaemonUnreachable",
    "DiscoveryRefused",
    "Event",
    "UnexpectedAnswer",
    "WaitTimedOut",
]

_MODULES = {"DaemonClient": "daemon", "Event": "events"}


def __getattr__(name: str) -> object:
    # The daemon imports the wire types from this package, and should not have to load an HTTP client for it.
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
