"""Free ports for the sandbox and its daemon, which never use the ports of an installed helper."""

from __future__ import annotations

import errno
import random
import socket
import sys
from typing import TYPE_CHECKING, Final

from upstash_helper.cli.errors import Failure
from upstash_helper.settings.config import API_PORTS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PREFERRED: Final = 26302
"""
The daemon's: pages also look for a helper there, and an installed helper tries it last (``settings.config.API_PORTS``).
"""
_DAEMON: Final = range(26310, 26400)
# Below the ephemeral ranges, so that an outgoing connection does not take the port while the sandbox is stopped.
_SANDBOX: Final = range(20_000, 26_000)
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


def for_daemon(*, avoid: Iterable[int] = (), auto_approve: bool = False) -> int:
    """
    Return a free port for the daemon.

    Args:
        avoid: Ports that were found to be taken.
        auto_approve: Whether it approves every app. Then, pages that look for the user's helper must not find it.

    Raises:
        Failure: If there is none.
    """
    # From a random one, so that the sandboxes of tests that start at the same time rarely choose the same.
    first = () if auto_approve else (PREFERRED,)
    return _first_free((*first, *_shuffled(_DAEMON)), set(avoid), both=True)


def is_known_to_pages(port: int) -> bool:
    """Return whether pages look for the user's helper on a port."""
    return port in {Settings().port, *API_PORTS}


def for_sandbox() -> tuple[int, int, int]:
    """
    Return three free ports: for the API, the issuer, and the REST API.

    Raises:
        Failure: If there are none.
    """
    chosen: list[int] = []
    while len(chosen) < 3:
        # From a random one, so that two sandboxes that start at the same time rarely choose the same.
        chosen.append(_first_free(_shuffled(_SANDBOX), set(chosen), both=False))
    return chosen[0], chosen[1], chosen[2]


def _shuffled(ports: range) -> Iterator[int]:
    first = random.randrange(len(ports))  # noqa: S311 - no secret
    yield from (*ports[first:], *ports[:first])


def _first_free(ports: Iterable[int], avoid: set[int], *, both: bool) -> int:
    for port in ports:
        if port not in avoid and _is_free("127.0.0.1", port) and (not both or _is_free("::1", port)):
            return port
    message = "No port is free on 127.0.0.1."
    raise Failure(message, code="no_port")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if sys.platform == "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)  # two sockets that are only bound can share an address
    except OSError as error:
        return error.errno in _ABSENT  # without IPv6, no program can listen there
    return True
