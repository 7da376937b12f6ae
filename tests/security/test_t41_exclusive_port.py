"""T41: another program that tries to share the port."""

from __future__ import annotations

import contextlib
import socket
import sys

import pytest

from upstash_helper.runtime.listeners import open_listeners


def try_to_share(option: str, host: str, port: int) -> str:
    """Try to listen on the daemon's port with a socket option that allows sharing. Return the result."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            other.bind((host, port))
            other.listen()
        except OSError:
            return "refused"
    return "shared"


@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_t41_port_cannot_be_shared(option: str, host: str) -> None:
    """No socket option lets another program share the port. On Windows, SO_REUSEADDR would if it were not prevented."""
    if not hasattr(socket, option):
        pytest.skip(f"platform: there is no {option}")
    if sys.platform == "darwin" and host in {"0.0.0.0", "::"}:
        pytest.skip("platform: BSD also allows the wildcard address, but delivers to the specific one")

    with contextlib.closing(open_listeners(0)) as listeners:
        assert "refused" == try_to_share(option, host, listeners.port)


def test_t41_socket_is_exclusive_on_windows() -> None:
    """On Windows the socket is exclusive from before it is bound."""
    if sys.platform == "win32":
        with contextlib.closing(open_listeners(0)) as listeners:
            assert 1 == listeners._required.getsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE)
    else:
        pytest.skip("platform: only Windows has SO_EXCLUSIVEADDRUSE")
