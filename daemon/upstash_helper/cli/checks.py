"""
The checks of ``doctor``. Each looks at one thing and says in a sentence what it saw and, if need be, what to do.

A check never changes anything, and none depends on another having gone well.
"""

from __future__ import annotations

import platform
import socket
import stat
import sys
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec

from upstash_helper import __version__
from upstash_helper.settings import Settings, SettingsError, load_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from upstash_helper.cli.session import Session
    from upstash_helper.client.wire import DaemonStatus

REACH_SECONDS: Final = 3.0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

State = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a check found."""

    name: str
    state: State
    detail: str
    fix: str = ""


def examine(session: Session) -> Iterator[Finding]:
    """Make every check, the cheap ones first."""
    yield _python()
    yield from _folders(session)
    settings = Settings()
    try:
        world = load_world(profile=session.profile_flag)
    except SettingsError as error:
        yield Finding(name="Settings", state="error", detail=str(error), fix="Mend or remove it.")
    else:
        settings = world.settings
        yield _settings(settings, str(world.folders.config_file), given=len(world.sources))

    status, finding = _daemon(session)
    yield finding
    yield from _port(settings.port, status)
    if status is not None:
        yield from _of_daemon(session, status)
    yield _reachable("Sign-in", settings.auth_url)
    yield _reachable("Developer API", settings.api_url)


def _python() -> Finding:
    detail = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    return Finding(name="Python", state="ok", detail=detail)


def _folders(session: Session) -> Iterator[Finding]:
    folders = session.folders
    doubts = [(folder, _doubt(folder)) for folder in (folders.config, folders.state, folders.runtime, folders.logs)]
    for folder, doubt in doubts:
        if doubt:
            yield Finding(name="Folders", state="error", detail=f"{folder} {doubt}", fix=f"chmod 700 {folder}")
    if not any(doubt for _, doubt in doubts):
        yield Finding(name="Folders", state="ok", detail=f"settings in {folders.config}, the rest for you alone")


def _doubt(folder: Path) -> str | None:
    """Return what is wrong with a folder; one that is not there yet is made rightly when it is needed."""
    try:
        found = folder.stat()
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return "is no folder."
    if sys.platform != "win32" and found.st_mode & stat.S_IWOTH:
        return "can be written to by every user of this machine."
    return None


def _settings(settings: Settings, file: str, *, given: int) -> Finding:
    detail = f"valid; {given} given, the others as they come ({file})"
    if settings.client_id is None:
        return Finding(
            name="Settings",
            state="warning",
            detail=f"{detail}; no client_id, so signing in with the browser is not possible",
            fix="Set client_id (Upstash gives one: partnerships@upstash.com), or: upstash-helper connect --api-key",
        )
    if settings.credential_store == "file":
        return Finding(
            name="Settings",
            state="warning",
            detail=f"{detail}; the API key is kept in a file, in clear",
            fix='Where there is a keyring, set credential_store = "keyring".',
        )
    return Finding(name="Settings", state="ok", detail=detail)


def _daemon(session: Session) -> tuple[DaemonStatus | None, Finding]:
    from upstash_helper.client import discovery
    from upstash_helper.client.errors import ClientError, DaemonUnreachable

    name = "Daemon"
    try:
        status = session.client.status()
    except DaemonUnreachable as error:
        if not discovery.is_running(session.folders.runtime):
            fix = f"Start it with: {session.command('start')}"
            return None, Finding(name=name, state="error", detail="it is not running", fix=fix)
        fix = f"See {session.folders.log_file}, or: {session.command('restart')}"
        return None, Finding(name=name, state="error", detail=str(error), fix=fix)
    except ClientError as error:
        return None, Finding(name=name, state="error", detail=str(error), fix=session.command("restart"))
    if status.version != __version__:
        detail = f"it has version {status.version}, and this command {__version__}"
        return status, Finding(name=name, state="warning", detail=detail, fix=session.command("restart"))
    return status, Finding(name=name, state="ok", detail=f"version {status.version}, process {status.pid}")


def _port(port: int, status: DaemonStatus | None) -> Iterator[Finding]:
    if status is not None:
        for listener in status.listeners:
            yield _listener(listener.address, listener.state, listener.holder)
        for hint in status.hints:
            yield Finding(name="Port", state="warning", detail=hint.detail)
        return
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        address = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
        taken = _answers(host, port)
        yield _listener(address, "taken" if taken else "free", _holder(host, port) if taken else None)


def _listener(address: str, state: str, holder: str | None) -> Finding:
    name = "Port"
    if state == "taken":
        detail = f"{address} belongs to {holder or 'another program'}, which would receive your sign-in"
        fix = "Stop that program, or give the helper another port that is registered with Upstash: port = …"
        return Finding(name=name, state="error", detail=detail, fix=fix)
    words = {"listening": "is the daemon's", "absent": "does not exist on this machine", "free": "is free"}
    words["on_demand"] = "is taken while a sign-in runs, and free for others at other times"
    return Finding(name=name, state="ok", detail=f"{address} {words[state]}")


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _holder(host: str, port: int) -> str | None:
    """Return which program listens, where the system tells."""
    import psutil

    try:
        found = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.laddr.ip in {host, "0.0.0.0", "::"}  # noqa: S104 - what others bind
        ]
        if not found or found[0] is None:
            return None
        return f"{psutil.Process(found[0]).name()} (process {found[0]})"
    except (psutil.Error, OSError):
        return None


def _of_daemon(session: Session, status: DaemonStatus) -> Iterator[Finding]:
    from upstash_helper.cli.status import described

    connection = status.connection
    fix = connection.detail or ""
    match connection.state:
        case "connected" | "connecting":
            state: State = "ok"
        case "disconnected":
            state, fix = "warning", fix or f"Connect an account with: {session.command('connect')}"
        case _:
            state = "error"
    yield Finding(name="Connection", state=state, detail=described(connection), fix=fix)

    store = connection.credential_store
    if store is None:
        return
    if store.state in {"locked", "unavailable"}:
        detail = f"{store.kind}: {store.state}"
        remedy = store.detail or "Unlock or start the keyring of your session."
        yield Finding(name="Credentials", state="error", detail=detail, fix=remedy)
    else:
        detail = f"{store.kind}: {'not used yet' if store.state == 'unknown' else store.state}"
        yield Finding(name="Credentials", state="ok", detail=detail)


def _reachable(name: str, url: str) -> Finding:
    proxy = _proxy(url)
    host, port = _host_and_port(proxy or url)
    what = f"the proxy {host}:{port} for {urlsplit(url).hostname}" if proxy else f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=REACH_SECONDS):
            return Finding(name=name, state="ok", detail=f"{what} can be reached")
    except TimeoutError:
        why = f"no answer within {REACH_SECONDS:.0f} s"
    except OSError as error:
        why = error.strerror or str(error)
    fix = "Look at the network, the firewall, and the proxy settings of this machine."
    return Finding(name=name, state="error", detail=f"{what} cannot be reached: {why}", fix=fix)


def _proxy(url: str) -> str | None:
    """Return the proxy that the daemon uses for ``url``: the system's, as curl would."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _LOOPBACK or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "//" in url else f"//{url}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
