"""This terminal's proxy settings and certificates that the running daemon does not have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.system.proxies import is_exempt
from upstash_helper.system.shell_network import LostVariable, lost_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.cli.session import Session
    from upstash_helper.protocol.wire import DaemonStatus

UPSTASH_FAILURES: Final = frozenset({"upstream_unavailable", "upstream_timeout", "network_error", "timeout"})
"""Codes and reasons of failures for which the way to Upstash may be the cause."""


def lost_by_daemon(status: DaemonStatus, environ: Mapping[str, str] | None = None) -> list[LostVariable]:
    """Return this terminal's variables that the running daemon lacks; none if an older daemon does not report them."""
    network, host = status.network, urlsplit(status.api_url or "").hostname or ""
    if network is None or host in LOOPBACK_HOSTS:
        return []  # connections to this machine, such as to a sandbox, use no proxy
    return lost_variables(
        os.environ if environ is None else environ,
        host,
        # One that cannot be used has a source, too, and each request reports it.
        proxy=network.proxy_source is not None or is_exempt(host, network.no_proxy or ""),
        exceptions=network.no_proxy is not None,
        certificates=network.ca_file is not None,
    )


def advice(session: Session, lost: LostVariable) -> str:
    """Return what to do about a variable, on one line."""
    restart = session.command("restart")
    return f"Add this line to {session.folders.config_file}{lost.hint}: {lost.line} Then run: {restart}"


def describe(session: Session, lost: LostVariable) -> str:
    """Return a sentence about a variable, and what to do, with the line to copy on one of its own."""
    restart, file = session.command("restart"), session.folders.config_file
    return (
        f"{lost.name} is set in this terminal, but the daemon does not have it. Add this line to {file}{lost.hint}, "
        f"then run: {restart}\n    {lost.line}"
    )


def hints_after(session: Session, code: str) -> list[str]:
    """
    Return what may explain a failure on the way to Upstash; nothing for another failure.

    Args:
        session: The command line's.
        code: The code of the problem, or the reason of the failed sign-in.
    """
    from upstash_helper.protocol.errors import ClientError

    if code not in UPSTASH_FAILURES:
        return []
    try:
        return [describe(session, lost) for lost in lost_by_daemon(session.client.status())]
    except ClientError:
        return []
