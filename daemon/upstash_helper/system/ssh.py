"""The command that forwards a port of this machine to the computer from which the user is connected by SSH."""

from __future__ import annotations

import getpass
import ipaddress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_PORT: Final = "22"
_V4: Final = "127.0.0.1"


def forwarding_command(port: int, environ: Mapping[str, str], *, host: str = _V4) -> str | None:
    """
    Return the command to run on the user's computer, so that its browser reaches ``port`` of this machine.

    The port is the same on both sides, which the API and the sign-in require. So is the address, unless it is
    127.0.0.1, where ``ssh`` listens by default. None if this is not an SSH session.

    Args:
        port: The loopback port.
        environ: The environment. ``SSH_CONNECTION`` has the addresses and ports of both sides (ssh(1)).
        host: The loopback address.
    """
    words = environ.get("SSH_CONNECTION", "").split()
    if not words and not (environ.get("SSH_TTY") or environ.get("SSH_CLIENT")):
        return None
    server, option, bound = "HOST", "", "" if host == _V4 else f"{host}:"
    if len(words) == 4:
        if _is_address(words[2]):
            server = words[2]
        if words[3].isdecimal() and words[3] != _DEFAULT_PORT:
            option = f"-p {words[3]} "
    return f"ssh -N -L {bound}{port}:{host}:{port} {option}{_user()}@{server}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user without an entry, as in some containers
        return "USER"
