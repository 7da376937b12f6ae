"""T80: a daemon and its clients meet whatever the environment of either of them is, or say whose daemon it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment, free_port
from tests.support.until import until
from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import InstanceLock
from upstash_helper.settings.profiles import FolderRefused, locate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.command_line import Ran

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="platform: the folders of other systems are fixed")

_FOLDERS = ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")


def environment(home: Path, *, session: bool = True, **others: str) -> dict[str, str]:
    """Return the environment of a program in the user's session, or of one that cron has started."""
    inherited = {name: value for name, value in clean_environment().items() if name not in _FOLDERS}
    runtime = home / "session"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    inside = {"XDG_RUNTIME_DIR": str(runtime)} if session else {}
    return {**inherited, "HOME": str(home), **inside, **others}


@contextlib.contextmanager
def daemon(environ: Mapping[str, str], port: int, *before: str, ready: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Run a daemon, and wait until it has announced itself."""
    settings = ("--port", str(port), "--no-browser", "--no-notifications", "--credential-store", "memory")
    command = (sys.executable, "-P", "-m", "upstash_helper", *before, "run", *settings)
    with subprocess.Popen(
        command, env=dict(environ), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            profile = before[-1] if before else None
            until(lambda: not ready or process.poll() is not None or _announced(environ, profile), seconds=20)
            yield process
        finally:
            process.kill()


def _announced(environ: Mapping[str, str], profile: str | None) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        for name in _FOLDERS:
            patch.delenv(name, raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        folders = locate(profile=profile)[1]
    return any(discovery.discovery_file(one).exists() for one in folders.runtimes)


async def pid_of(environ: Mapping[str, str], port: int) -> int:
    """Return the process of the daemon that a command finds."""
    ran = await run_cli("status", "--json", environment={**environ, "UPSTASH_HELPER_PORT": str(port)})
    assert 0 == ran.code, ran.err
    pid: int = ran.json["pid"]
    return pid


@pytest.mark.parametrize("session", [True, False])
async def test_t80_daemon_and_client_meet_with_and_without_a_session(tmp_path: Path, *, session: bool) -> None:
    """cron, su, and SSH do not set XDG_RUNTIME_DIR. A second daemon of the profile does not start there either."""
    port = free_port()
    ours, theirs = environment(tmp_path, session=session), environment(tmp_path, session=not session)
    with daemon(ours, port) as running:
        found = await asyncio.gather(pid_of(ours, port), pid_of(theirs, port))
        second = await run_cli("run", "--port", str(free_port()), environment=theirs)
        stopped = await run_cli("stop", environment=theirs)
        ended = running.wait(10)

    assert {running.pid} == set(found)
    assert (0, True) == (second.code, f"already running as process {running.pid}" in second.err)
    assert (0, 0) == (stopped.code, ended)


async def test_t80_profile_is_found_without_a_session(tmp_path: Path) -> None:
    """This applies to every profile."""
    port = free_port()
    with daemon(environment(tmp_path), port, "--profile", "work") as running:
        ran = await run_cli("--profile", "work", "status", "--json", environment=environment(tmp_path, session=False))

    assert running.pid == ran.json["pid"]


@pytest.mark.parametrize("home", ["unset", "login"])
def test_t80_home_that_is_not_set_is_the_login_folder(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """Some service managers do not set HOME."""
    import pwd

    for name in ("UPSTASH_HELPER_HOME", "UPSTASH_HELPER_PROFILE", *_FOLDERS):
        monkeypatch.delenv(name, raising=False)
    login = pwd.getpwuid(os.getuid()).pw_dir
    if home == "login":
        monkeypatch.setenv("HOME", login)

    assert f"{login}/.local/state/upstash-helper/run" == str(locate()[1].runtime)


@pytest.mark.parametrize(
    ("daemons", "clients", "expected"),
    [
        ({"UPSTASH_HELPER_HOME": "{}/x"}, {}, "with UPSTASH_HELPER_HOME={}/x, and this command without"),
        (
            {},
            {"UPSTASH_HELPER_HOME": "{}/x"},
            "without UPSTASH_HELPER_HOME, and this command with UPSTASH_HELPER_HOME={}",
        ),
        ({"XDG_STATE_HOME": "{}/x"}, {}, "with XDG_STATE_HOME={}/x, and this command without XDG_STATE_HOME"),
        ({"HOME": "{}/x"}, {}, "with HOME={}/x, and this command with HOME={}"),
    ],
)
async def test_t80_own_daemon_with_other_folders_is_recognized(
    tmp_path: Path, daemons: dict[str, str], clients: dict[str, str], expected: str
) -> None:
    """The user learns that it is their own daemon, and which variable differs."""
    port = free_port()
    (tmp_path / "x").mkdir()
    ours, theirs = (
        environment(tmp_path, session=False) | {name: value.format(tmp_path) for name, value in one.items()}
        for one in (daemons, clients)
    )
    with daemon(ours, port) as running:
        asked = theirs | {"UPSTASH_HELPER_PORT": str(port)}
        status, start = await asyncio.gather(*(run_cli(one, environment=asked) for one in ("status", "start")))

    assert f"Another daemon of yours is running (process {running.pid}, port {port})" in status.err
    assert f"is in use by another upstash-helper (profile default, process {running.pid})" in start.err
    for ran in (status, start):
        assert expected.format(tmp_path, tmp_path) in ran.err
        assert "such as another upstash-helper" not in ran.err
        assert "Traceback" not in ran.err
    assert (3, 7) == (status.code, start.code)


async def test_t80_daemon_of_another_profile_is_recognized(tmp_path: Path) -> None:
    """The message has the option that selects it."""
    port = free_port()
    ours = environment(tmp_path)
    with daemon(ours, port, "--profile", "work"):
        ran = await run_cli("status", environment=ours | {"UPSTASH_HELPER_PORT": str(port)})

    assert 3 == ran.code
    assert "It serves the profile work. To use it, add --profile work." in ran.err


@pytest.mark.parametrize("place", ["session", "state"])
async def test_t80_daemon_of_an_earlier_version_is_found(tmp_path: Path, place: str) -> None:
    """An earlier version announces itself in one place only, and holds only that lock."""
    port = free_port()
    runtime = {
        "session": tmp_path / "session" / "upstash-helper",
        "state": tmp_path / ".local" / "state" / "upstash-helper" / "run",
    }[place]
    environ = environment(tmp_path)
    earlier = msgspec.json.encode(
        {
            "pid": os.getpid(), "port": port, "base_url": f"http://127.0.0.1:{port}", "owner_token": "uho_earlier",
            "version": "0.0.9", "api_version": discovery.API_VERSION, "format": discovery.FORMAT,
        }
    )  # fmt: skip
    with InstanceLock(runtime):
        (runtime / discovery.DISCOVERY_FILE).touch(mode=0o600)
        (runtime / discovery.DISCOVERY_FILE).write_bytes(earlier)
        status = await run_cli("status", environment=environ)
        second = await run_cli("run", environment=environ)

    # Nothing listens on its port, but the client has found it.
    assert "The daemon is not running" in status.err
    assert (0, True) == (second.code, f"already running as process {os.getpid()}" in second.err)


def test_t80_daemon_is_announced_where_earlier_clients_look(tmp_path: Path) -> None:
    """An app may have the client of an earlier version in its own environment."""
    port = free_port()
    with daemon(environment(tmp_path), port) as running:
        session = tmp_path / "session" / "upstash-helper"
        until(lambda: discovery.discovery_file(session).exists(), seconds=20)  # both files, one after the other
        earlier = discovery.read(session)
        held = discovery.is_running(session)

    assert earlier is not None
    assert (running.pid, True) == (earlier.pid, held)


async def test_t80_session_is_enough_if_the_state_folder_cannot_be_written(tmp_path: Path) -> None:
    """On a full or read-only disk, the daemon starts as before, and clients in the session find it."""
    port = free_port()
    state = tmp_path / ".local" / "state" / "upstash-helper"
    state.mkdir(parents=True)
    (state / "run").touch()  # the folder cannot be created
    environ = environment(tmp_path)
    with daemon(environ, port) as running:
        found = await pid_of(environ, port)
        second = await run_cli("run", "--port", str(free_port()), environment=environ)

    assert running.pid == found
    assert (0, True) == (second.code, f"already running as process {running.pid}" in second.err)


async def test_t80_daemon_on_another_network_stack_is_not_contacted(tmp_path: Path) -> None:
    """A home folder may be shared with another machine, where the daemon's address leads to another program."""
    environ = environment(tmp_path)
    runtime = tmp_path / ".local" / "state" / "upstash-helper" / "run"
    elsewhere = discovery.Discovery(
        pid=1, port=3000, base_url="http://127.0.0.1:3000", owner_token="uho_x", version="0",
        api_version=discovery.API_VERSION, network="another machine",
    )  # fmt: skip
    with InstanceLock(runtime):
        discovery.write(runtime, elsewhere)
        ran: Ran = await run_cli("status", environment=environ)

    assert (1, True) == (ran.code, "runs on another machine or in a container" in ran.err)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="platform: only root can write everywhere")
@pytest.mark.parametrize("exists", [True, False])
def test_t80_root_does_not_write_to_another_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    """Sudo may keep HOME. The user could not remove files of root."""
    monkeypatch.delenv("UPSTASH_HELPER_HOME", raising=False)
    home = tmp_path / "ann"
    home.mkdir()
    folder = home / ".local" / "state" / "upstash-helper"
    if exists:
        folder.mkdir(parents=True)
    for path in (home, *(parent for parent in (folder, *folder.parents) if exists and parent.is_relative_to(home))):
        os.chown(path, 4242, 4242)
    before = sorted(home.rglob("*"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    with pytest.raises(FolderRefused, match="belongs to the user with ID 4242"):
        locate()
    assert before == sorted(home.rglob("*"))
