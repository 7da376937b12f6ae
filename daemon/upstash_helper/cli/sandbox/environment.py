"""Starting, checking, stopping, and resetting a profile's sandbox and its daemon."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.daemon.lifecycle import daemon_status, discover, start_daemon, stop_daemon
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.sandbox import ports, upstream
from upstash_helper.cli.sandbox.own_profile import Addresses
from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import AlreadyHeld, InstanceLock
from upstash_helper.settings.profiles import secure_folder
from upstash_helper.system import open_files, private_files

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from upstash_helper.cli.sandbox.own_profile import Kept, SandboxProfile
    from upstash_helper.cli.sandbox.upstream import Upstream
    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper.protocol.wire import DaemonStatus, DatabaseCredentials

LOCK_FILE: Final = "sandbox.lock"
_LOCK_SECONDS: Final = 120.0
"""How long to wait for another `up` or `down` of the same profile."""
_PORT_TRIES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Running:
    """A sandbox that is ready."""

    upstream: Upstream
    daemon: DaemonStatus
    client: DaemonClient
    database: DatabaseCredentials
    kept: Kept
    was_running: bool
    """Whether both processes were running before."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Which parts of a sandbox are running."""

    upstream: Upstream | None
    daemon: DaemonStatus | None
    kept: Kept

    @property
    def name(self) -> Literal["running", "incomplete", "stopped"]:
        """``incomplete``: only one of the two processes is running."""
        if self.upstream is not None and self.daemon is not None:
            return "running"
        return "stopped" if self.upstream is None and self.daemon is None else "incomplete"


def up(profile: SandboxProfile, *, auto_approve: bool | None = None, parent: int | None = None) -> Running:
    """
    Start the sandbox and its daemon if they are not running, connect an account, and create a database.

    Args:
        profile: The sandbox's profile.
        auto_approve: Whether to approve every access request automatically. If the running daemon does otherwise, it is
            restarted. None: unchanged if it is running, otherwise no.
        parent: One end of a pipe. What is started stops when the other end is closed. None: it keeps running.

    Raises:
        Failure: If that is not possible.
        SettingsError: If a folder cannot be created or trusted.
    """
    with _turn(profile):
        return _up(profile, auto_approve=auto_approve, parent=parent)


def state(profile: SandboxProfile) -> State:
    """Return which parts are running, without changing anything."""
    return State(upstream=upstream.running(profile.data), daemon=_own_daemon(profile), kept=profile.load())


def down(profile: SandboxProfile) -> bool:
    """
    Stop the daemon and the sandbox. Return whether one of them was running.

    Raises:
        Failure: If one does not stop.
    """
    if not profile.folders.state.is_dir():
        return False
    with _turn(profile):
        return _down(profile)


def reset(profile: SandboxProfile) -> bool:
    """
    Stop the sandbox, and delete its databases, its account, and what its daemon has stored. Return whether there was
    a sandbox.

    Raises:
        Failure: If it does not stop.
        OSError: If a file cannot be deleted.
    """
    if not profile.data.is_dir():
        return False
    with _turn(profile):
        _down(profile)
        for path in profile.folders.state.iterdir():
            if path in {profile.folders.runtime, *profile.folders.other_runtimes}:
                continue  # has the lock
            if path.is_dir() and not path.is_symlink():
                open_files.remove_tree(path)
            else:
                open_files.remove(path)
    return True


def _up(profile: SandboxProfile, *, auto_approve: bool | None, parent: int | None) -> Running:
    profile.require_own()
    kept = profile.load()
    found, daemon = upstream.running(profile.data), _own_daemon(profile)
    kept.auto_approve = (daemon is not None and daemon.auto_approve) if auto_approve is None else auto_approve
    # An earlier start may have written the settings and then failed.
    kept.addresses = kept.addresses or profile.configured() or _new_addresses(kept)
    if daemon is not None and daemon.auto_approve != kept.auto_approve:
        stop_daemon(profile.session)
        daemon = None
    if daemon is None and kept.auto_approve and ports.is_known_to_pages(kept.addresses.port):
        # It was chosen for a daemon that asks the user.
        kept.addresses = msgspec.structs.replace(kept.addresses, port=ports.for_daemon(auto_approve=True))
    was_running = found is not None and daemon is not None
    found, daemon = _both(profile, kept, found, daemon, parent)
    actual = _actual(kept.addresses, found)
    if actual != kept.addresses or daemon.api_url != actual.api_url:
        # Another program has taken a port since the last start.
        kept.addresses = actual
        stop_daemon(profile.session)
        daemon = _start_daemon(profile, kept, parent)
    profile.save(kept)
    return _connected(profile, found, daemon, kept, was_running=was_running)


def _both(
    profile: SandboxProfile, kept: Kept, found: Upstream | None, daemon: DaemonStatus | None, parent: int | None
) -> tuple[Upstream, DaemonStatus]:
    """Start the processes that are not running, concurrently: the daemon does not need the sandbox until later."""
    process: subprocess.Popen[bytes] | None = None
    if found is None:
        process = _start_upstream(profile, _addresses(kept), parent)
        if kept.auto_approve:
            # Such a daemon starts only after the sandbox has responded.
            found = upstream.wait_until_ready(process, profile.data, profile.log)
    had_daemon = daemon is not None
    if daemon is None:
        if found is not None:
            kept.addresses = _actual(_addresses(kept), found)
        try:
            daemon = _start_daemon(profile, kept, parent)
        except BaseException:
            if process is not None:
                with contextlib.suppress(Failure):  # the first error is the one to show
                    upstream.stop(profile.data)  # useless without the daemon
            raise
    if found is None and process is not None:
        try:
            found = upstream.wait_until_ready(process, profile.data, profile.log)
        except Failure:
            if not had_daemon:
                stop_daemon(profile.session)  # useless without the sandbox
            raise
    assert found is not None  # noqa: S101 - for the type checker: it was running, or was started
    return found, daemon


def _connected(
    profile: SandboxProfile, found: Upstream, daemon: DaemonStatus, kept: Kept, *, was_running: bool
) -> Running:
    from upstash_helper.cli.sandbox.account import ensure_database

    client = discover(profile.session)
    database = ensure_database(client, profile, kept)
    return Running(upstream=found, daemon=daemon, client=client, database=database, kept=kept, was_running=was_running)


def _new_addresses(kept: Kept) -> Addresses:
    api, issuer, rest = map(_url, ports.for_sandbox())
    port = ports.for_daemon(auto_approve=kept.auto_approve)
    return Addresses(port=port, auth_url=api, api_url=api, issuer_url=issuer, rest_url=rest)


def _start_upstream(profile: SandboxProfile, addresses: Addresses, parent: int | None) -> subprocess.Popen[bytes]:
    secure_folder(profile.folders.state)
    secure_folder(profile.folders.logs)
    first = (addresses.api_url, addresses.issuer_url, addresses.rest_url)
    api, issuer, rest = (urlsplit(url).port or 0 for url in first)
    return upstream.start(profile.data, profile.log, ports=(api, issuer, rest), parent=parent)


def _start_daemon(profile: SandboxProfile, kept: Kept, parent: int | None) -> DaemonStatus:
    """Start the daemon, on another port if the last one is taken."""
    if not profile.folders.welcome_file.exists():
        # An account is about to be connected, so the first start need not suggest connecting one.
        private_files.write(profile.folders.welcome_file, b"")
    addresses, tried = _addresses(kept), set[int]()
    while True:
        profile.configure(addresses, auto_approve=kept.auto_approve)
        kept.addresses = addresses
        try:
            return start_daemon(profile.session, {}, parent=parent)
        except Failure as failure:
            tried.add(addresses.port)
            if failure.exit_code != exit_codes.PORT_BUSY or len(tried) > _PORT_TRIES:
                raise
        addresses = msgspec.structs.replace(
            addresses, port=ports.for_daemon(avoid=tried, auto_approve=kept.auto_approve)
        )


def _actual(addresses: Addresses, found: Upstream) -> Addresses:
    """Return the addresses with the URLs of the running sandbox, whose ports may differ from the last start."""
    return msgspec.structs.replace(
        addresses,
        auth_url=found.auth_url,
        issuer_url=found.issuer_url,
        api_url=found.api_url,
        rest_url=found.rest_url,
    )


def _addresses(kept: Kept) -> Addresses:
    assert kept.addresses is not None  # noqa: S101 - for the type checker: set before anything is started
    return kept.addresses


def _own_daemon(profile: SandboxProfile) -> DaemonStatus | None:
    """
    Return the status of the profile's daemon.

    Raises:
        Failure: If it was started for something else than the sandbox.
    """
    if not discovery.is_running(profile.folders.runtime):
        return None
    status = daemon_status(profile.session)
    own = profile.configured()
    if status is None or (own is not None and status.api_url == own.api_url):
        return status
    message = (
        f"The running daemon of the profile {profile.name} (process {status.pid}) uses {status.api_url}, and was not"
        f" started by this command. Stop it with: {profile.session.command('stop')}. Or choose another profile, such as"
        " --profile sandbox2."
    )
    raise Failure(message, code="profile_not_for_sandbox")


def _down(profile: SandboxProfile) -> bool:
    had_daemon = _own_daemon(profile) is not None or discovery.is_running(profile.folders.runtime)
    if had_daemon:
        stop_daemon(profile.session)
    return upstream.stop(profile.data) or had_daemon


@contextlib.contextmanager
def _turn(profile: SandboxProfile) -> Iterator[None]:
    """Wait until no other command is changing this profile's sandbox."""
    runtime: Path = profile.folders.runtime
    secure_folder(runtime)
    lock = InstanceLock(runtime, timeout=_LOCK_SECONDS, file=LOCK_FILE)
    began = time.monotonic()
    try:
        lock.acquire()
    except AlreadyHeld:
        message = f"Another command has been changing this sandbox for {time.monotonic() - began:.0f} s. Try again."
        raise Failure(message, code="sandbox_busy") from None
    try:
        yield
    finally:
        lock.release()


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
