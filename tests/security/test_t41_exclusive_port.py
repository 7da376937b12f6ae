"""A second program that wants the same port as well: T41."""

from __future__ import annotations

import contextlib
import socket
import sys

import pytest

from upstash_helper.runtime.listeners import open_listeners


def sharing(option: str, host: str, port: int) -> str:
    """Try to listen where the daemon does, with an option that lets programs share; return what came of it."""
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
def test_t41_no_program_shares_the_port(option: str, host: str) -> None:
    """Whatever it asks the system for; on Windows it is SO_REUSEADDR that shares, where it is not forbidden."""
    if not hasattr(socket, option):
        pytest.skip(f"platform: there is no {option} here")
    if sys.platform == "darwin" and host in {"0.0.0.0", "::"}:
        pytest.skip("platform: BSD lets a program have the wildcard address beside ours, and sends ours to us")

    with contextlib.closing(open_listeners(0)) as listeners:
        assert "refused" == sharing(option, host, listeners.port)


def test_t41_the_port_is_taken_for_one_program_alone() -> None:
    """On Windows the socket has it exclusively, from before it was bound."""
    if sys.platform == "win32":
        with contextlib.closing(open_listeners(0)) as listeners:
            assert 1 == listeners._required.getsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE)
    else:
        pytest.skip("platform: SO_EXCLUSIVEADDRUSE is a thing of Windows")
