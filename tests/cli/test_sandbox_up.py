"""``sandbox up`` and its companions, with real processes. The tests share one sandbox, and each brings it up first."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil
import pytest
import redis
import upstash_redis

from tests.support.command_line import Ran, run_cli
from tests.support.daemon import DaemonProcess, clean_environment
from tests.support.mounts import run_with_mounts
from tests.support.terminal import terminal
from tests.support.until import until_async
from upstash_helper.cli import exit_codes
from upstash_helper.cli.sandbox.upstream import is_sandbox_of
from upstash_helper.settings.announced import daemon_on

if TYPE_CHECKING:
    from collections.abc import Iterator

END_SECONDS = 30
README = Path(__file__).parents[2] / "daemon" / "upstash_helper" / "sandbox" / "README.md"
_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "PYTHON_KEYRING_BACKEND")

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such modes and signals")


@dataclass
class Place:
    """A user without a desktop, whose folders have spaces and umlauts in their paths."""

    home: Path
    environment: dict[str, str]

    @property
    def data(self) -> Path:
        """The sandbox's data folder."""
        return self.home / "state" / "profiles" / "sandbox" / "sandbox"

    @property
    def config(self) -> Path:
        """The settings of the sandbox's daemon."""
        return self.home / "config" / "profiles" / "sandbox" / "config.toml"

    async def run(self, *arguments: str) -> Ran:
        """Run a command, which may fail."""
        return await run_cli(*arguments, environment=self.environment)

    async def up(self, *arguments: str) -> dict[str, Any]:
        """Run `sandbox up --json`, and return its result."""
        ran = await self.run("sandbox", "up", "--json", *arguments)
        assert (0, "") == (ran.code, ran.err)
        found: dict[str, Any] = ran.json
        return found


@contextlib.contextmanager
def place_in(folder: Path) -> Iterator[Place]:
    home = folder / "Grüße mit Leerzeichen"
    inherited = {name: value for name, value in clean_environment().items() if name not in _DESKTOP}
    place = Place(home, inherited | {"UPSTASH_HELPER_HOME": str(home)})
    try:
        yield place
    finally:
        subprocess.run(
            [sys.executable, "-m", "upstash_helper", "sandbox", "down"],
            env=place.environment, capture_output=True, check=True,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """The place that the tests share."""
    with tempfile.TemporaryDirectory(prefix="uh-", ignore_cleanup_errors=True) as folder, place_in(Path(folder)) as one:
        yield one


def processes_of(up: dict[str, Any]) -> list[psutil.Process]:
    """Return the sandbox's processes, with the servers of its databases."""
    both = [psutil.Process(up[name]["pid"]) for name in ("upstream", "daemon")]
    return [*both, *(child for one in both for child in one.children(recursive=True))]


def runs(pid: int) -> bool:
    """Return whether a process is running. Some containers have no process that reaps zombies."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def sandboxes_of(place: Place) -> list[int]:
    """Return the processes of the place's sandbox, also if it is not ready yet."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if is_sandbox_of(process.cmdline(), place.data) and runs(process.pid):
                found.append(process.pid)
    return found


def write_and_read(up: dict[str, Any], value: str) -> tuple[Any, Any]:
    """Write a value over TCP, and read it over TCP and REST with the clients that a project would use."""
    env = up["env"]
    with (
        redis.Redis.from_url(env["REDIS_URL"], decode_responses=True) as tcp,
        upstash_redis.Redis(url=env["UPSTASH_REDIS_REST_URL"], token=env["UPSTASH_REDIS_REST_TOKEN"]) as rest,
    ):
        tcp.set("key", value)
        return tcp.get("key"), rest.get("key")


# --- up ---------------------------------------------------------------------------------------------------------------


async def test_variables_work_with_real_clients(place: Place) -> None:
    """
    Without a desktop or a keyring, `up` prints variables that work with redis-py and with Upstash's REST client.
    """
    up = await place.up()

    assert ("hello", "hello") == write_and_read(up, "hello")


async def test_schema_of_the_json(place: Place) -> None:
    """
    Programs can rely on the keys of `up --json`.
    """
    up = await place.up()

    assert {
        "state", "profile", "already_running", "daemon", "upstream", "account", "database", "dashboard_url", "env",
    } == set(up)  # fmt: skip
    assert ("running", "sandbox") == (up["state"], up["profile"])
    assert {"pid", "base_url", "log_file"} == set(up["daemon"])
    assert {
        "auth_url", "api_url", "rest_url", "issuer_url", "client_id", "admin_url", "admin_token", "data", "backend",
        "tls_ca", "pid",
    } == set(up["upstream"])  # fmt: skip
    assert {"email", "password"} == set(up["account"])
    assert {"id"} == set(up["database"])
    assert {"REDIS_URL", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"} == set(up["env"])


async def test_second_up_changes_nothing(place: Place) -> None:
    """
    If everything runs, `up` prints the same addresses, and starts no process.
    """
    first = await place.up()

    second = await place.up()

    assert second["already_running"] is True
    for key in ("env", "upstream", "daemon", "account", "database"):
        assert first[key] == second[key]


async def test_up_at_the_same_time(place: Place) -> None:
    """
    Of two commands at the same time, one starts the sandbox, and both print its addresses.
    """
    await place.run("sandbox", "down")

    one, other = await asyncio.gather(place.up(), place.up())

    assert {False, True} == {one["already_running"], other["already_running"]}
    assert (one["env"], one["daemon"], one["upstream"]) == (other["env"], other["daemon"], other["upstream"])


async def test_text_has_lines_to_paste(place: Place) -> None:
    """
    For people, `up` prints the dashboard's address, lines for .env, lines for a shell, and how to stop.
    """
    up = await place.up()

    shown = (await place.run("sandbox", "up")).out

    lines = shown.splitlines()
    assert f'REDIS_URL="{up["env"]["REDIS_URL"]}"' in lines
    assert f"export REDIS_URL={up['env']['REDIS_URL']}" in lines
    assert "#ticket=" in shown
    assert "upstash-helper sandbox down" in shown


@posix_only
async def test_shell_lines_can_be_evaluated(place: Place) -> None:
    """
    A shell gets the variables with `eval "$(… --shell)"`, and fish with `… --shell fish | source`.
    """
    up = await place.up()

    for shell, form, read in (
        ("sh", "sh", 'eval "$1"; printf %s "$REDIS_URL"'),
        ("fish", "fish", 'echo $argv[1] | source; printf %s "$REDIS_URL"'),
    ):
        lines = (await place.run("sandbox", "up", "--shell", form)).out
        if shutil.which(shell) is None:
            continue
        words = [shell, "-c", read, *(["sh"] if shell == "sh" else []), lines]
        evaluated = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert up["env"]["REDIS_URL"] == evaluated


async def test_env_file_keeps_other_lines(place: Place, tmp_path: Path) -> None:
    """
    --env-file writes the variables once, however often it runs, and keeps the other lines and the file's mode.
    """
    file = tmp_path / ".env"
    file.write_text("NAME=value\n", encoding="utf-8")
    file.chmod(0o640)

    for _ in range(2):
        assert 0 == (await place.run("sandbox", "up", "--env-file", str(file))).code

    lines = file.read_text(encoding="utf-8").splitlines()
    up = await place.up()
    assert "NAME=value" == lines[0]
    assert 1 == lines.count(f'REDIS_URL="{up["env"]["REDIS_URL"]}"')
    assert 6 == len(lines)
    if sys.platform != "win32":
        assert 0o640 == stat.S_IMODE(file.stat().st_mode)


async def test_env_file_of_a_real_database_is_not_changed(place: Place, tmp_path: Path) -> None:
    """
    A file that already sets one of the variables is left unchanged, with its line in the error.
    """
    file = tmp_path / ".env"
    file.write_text("\nREDIS_URL=rediss://example.upstash.io:6379\n", encoding="utf-8")

    ran = await place.run("sandbox", "up", "--env-file", str(file))

    assert exit_codes.FAILURE == ran.code
    assert "line 2, already sets REDIS_URL" in ran.err
    assert "\nREDIS_URL=rediss://example.upstash.io:6379\n" == file.read_text(encoding="utf-8")


async def test_env_file_whose_lines_have_no_end_is_not_changed(place: Place, tmp_path: Path) -> None:
    """
    If the comment that ends the lines of an earlier `up` is gone, the user's lines after it are not deleted.
    """
    file = tmp_path / ".env"
    await place.run("sandbox", "up", "--env-file", str(file))
    *lines, _ = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*lines, "SECRET=of the user"]), encoding="utf-8")
    before = file.read_bytes()

    ran = await place.run("sandbox", "up", "--env-file", str(file))

    assert (exit_codes.FAILURE, before) == (ran.code, file.read_bytes())
    assert "was not changed: line 1 begins the lines of `sandbox up`" in ran.err


# --- automatic approval -----------------------------------------------------------------------------------------------


async def test_auto_approve_is_off_unless_it_is_asked_for(place: Place) -> None:
    """
    --auto-approve restarts the daemon with it. Another `up` leaves it as it is, and --no-auto-approve turns it off.
    """
    found = []
    for options in ((), ("--auto-approve",), (), ("--no-auto-approve",)):
        up = await place.up(*options)
        status = await place.run("--profile", "sandbox", "status", "--json")
        shown = (await place.run("--profile", "sandbox", "status")).out
        found.append((status.json["auto_approve"], "approved automatically (sandbox)" in shown, up["already_running"]))

    assert [(False, False), (True, True), (True, True), (False, False)] == [it[:2] for it in found]
    assert [False, True, False] == [it[2] for it in found[1:]]


async def test_auto_approve_starts_with_the_sandbox(place: Place) -> None:
    """
    The daemon is started once the sandbox answers, and not on a port where pages look for the user's helper.
    """
    await place.run("sandbox", "down")

    up = await place.up("--auto-approve")

    status = await place.run("--profile", "sandbox", "status", "--json")
    assert (True, "sandbox") == (status.json["auto_approve"], status.json["upstream"])
    assert not up["daemon"]["base_url"].endswith((":3000", ":26300", ":26301", ":26302"))
    await place.up("--no-auto-approve")


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_secrets_are_only_in_private_files(place: Place) -> None:
    """
    No secret is in a log, in an argument, or in a variable of a process, and only the user can read the files.
    """
    up = await place.up()

    database = up["env"]["REDIS_URL"].split(":")[2].split("@")[0]
    secrets = [
        up["account"]["password"],
        up["upstream"]["admin_token"],
        up["env"]["UPSTASH_REDIS_REST_TOKEN"],
        database,
    ]
    logs = "".join(path.read_text(encoding="utf-8") for path in (place.home / "log").rglob("*.log"))
    assert [] == [secret for secret in secrets if secret in logs]
    for process in processes_of(up):
        public = " ".join(process.cmdline())
        with contextlib.suppress(psutil.AccessDenied):  # the daemon hides its own
            public += " ".join(process.environ().values())
        assert [] == [secret for secret in secrets if secret in public]
    if sys.platform != "win32":
        paths = [path for path in place.home.rglob("*") if not path.is_symlink()]
        assert [] == [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]


# --- status, down, and reset ------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no sh")
async def test_readme_sets_the_variables_of_the_admin_api(place: Place) -> None:
    """
    The line of the sandbox's README sets them for the sandbox of `up`.
    """
    up = await place.up()
    section = README.read_text("utf-8").partition("## The admin API\n")[2]
    line = section.partition("```sh\n")[2].partition("```")[0]
    path = os.pathsep.join([str(Path(sys.executable).parent), place.environment["PATH"]])

    done = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-euc", f'{line}\necho "$ADMIN_URL" "$ADMIN_TOKEN"'],
        env={**place.environment, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert [up["upstream"]["admin_url"], up["upstream"]["admin_token"]] == done.stdout.split(), done.stderr


async def test_commands_without_the_profile_name_it(place: Place) -> None:
    """
    A command that forgets `--profile sandbox` says that this daemon is running, and so does the Python client.
    """
    await place.up()

    status = await place.run("status")
    listed = await place.run("databases", "list")

    for ran in (status, listed):
        assert exit_codes.NOT_RUNNING == ran.code
        assert "The daemon of the profile sandbox is running. To use it, add --profile sandbox" in ran.err


async def test_output_says_what_is_on_and_prints_no_variables_that_are_in_a_file(place: Place, tmp_path: Path) -> None:
    """
    `up` names the profile for other commands, and automatic approval. With `--env-file`, it prints no secrets.
    """
    up = await place.up("--auto-approve")
    ran = await place.run("sandbox", "up", "--env-file", str(tmp_path / ".env"))
    await place.up("--no-auto-approve")
    plain = await place.run("sandbox", "up")

    assert "upstash-helper --profile sandbox databases list" in ran.out
    assert "Approval:   automatic" in ran.out
    assert "Approval" not in plain.out
    assert up["env"]["UPSTASH_REDIS_REST_TOKEN"] not in ran.out
    assert plain.out.count(up["env"]["UPSTASH_REDIS_REST_TOKEN"]) == 2


async def test_console_link_works_once(place: Place) -> None:
    """
    `console` prints a link that opens the sandbox's console. A used one leads to the sign-in.
    """
    await place.up()
    link = (await place.run("sandbox", "console", "--json")).json["url"]
    printed = (await place.run("sandbox", "console")).out.strip()

    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:  # an address as the host
        first = await (await browser.get(link)).text()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as another:
        second = await (await another.get(link)).text()
    await place.run("sandbox", "down")
    stopped = await place.run("sandbox", "console")

    assert "Delete everything" in first
    assert "Delete everything" not in second
    assert link != printed
    assert printed.startswith(link.partition("?")[0])
    assert exit_codes.NOT_RUNNING == stopped.code
    assert "Start it with: upstash-helper sandbox up" in stopped.err


async def test_status(place: Place) -> None:
    """
    `status` exits with 0 only if everything is running, and shows how to start or repair it.
    """
    await place.up()
    running = await place.run("sandbox", "status", "--json")
    await place.run("--profile", "sandbox", "stop")
    incomplete = await place.run("sandbox", "status", "--json")
    advice = await place.run("sandbox", "status")
    await place.run("sandbox", "down")
    stopped = await place.run("sandbox", "status", "--json")

    assert (0, "running") == (running.code, running.json["state"])
    assert (exit_codes.NOT_RUNNING, "incomplete") == (incomplete.code, incomplete.json["state"])
    assert "Repair it with: upstash-helper sandbox up" in advice.err
    assert (exit_codes.NOT_RUNNING, "stopped") == (stopped.code, stopped.json["state"])


async def test_down_stops_everything_and_keeps_the_data(place: Place) -> None:
    """
    After `down`, nothing runs. The next `up` has the same database with its data, on the same ports.
    """
    before = await place.up()
    write_and_read(before, "kept")
    processes = processes_of(before)

    down = await place.run("sandbox", "down")
    left = [process for process in processes if runs(process.pid)]
    again = await place.run("sandbox", "down", "--json")
    after = await place.up()

    assert (0, "The sandbox was stopped.\n", []) == (down.code, down.out, left)
    assert (0, {"was_running": False}) == (again.code, again.json)
    assert (before["env"], before["account"]) == (after["env"], after["account"])
    with redis.Redis.from_url(after["env"]["REDIS_URL"], decode_responses=True) as client:
        assert "kept" == client.get("key")


async def test_agent_does_not_start_the_daemon_without_its_sandbox(place: Place) -> None:
    """
    After `down`, an agent is told how to start the sandbox. Its request starts no daemon that could not do anything.
    """
    await place.up()
    await place.run("sandbox", "down")

    ran = await place.run("--profile", "sandbox", "mcp", "headers")
    status = await place.run("--profile", "sandbox", "status")

    assert (exit_codes.FAILURE, "") == (ran.code, ran.out)
    assert "The sandbox is not running (profile sandbox). Start it with: upstash-helper sandbox up\n" in ran.err
    assert 1 == ran.err.count("The sandbox is not running")
    assert exit_codes.NOT_RUNNING == status.code


async def test_reset_deletes_the_data_after_a_confirmation(place: Place) -> None:
    """
    `reset` changes nothing without a confirmation. Then it deletes the databases, the account, and the connection.
    """
    before = await place.up()
    refused = await place.run("sandbox", "reset")
    unchanged = place.data.is_dir()

    done = await place.run("sandbox", "reset", "--yes")
    left = list((place.home / "state" / "profiles" / "sandbox").iterdir())
    none = await place.run("sandbox", "reset", "--yes")
    after = await place.up()
    renewed = await place.up("--reset", "--yes")

    assert (exit_codes.USAGE, True) == (refused.code, unchanged)
    assert "--yes" in refused.err
    assert (0, "The sandbox was deleted.\n", []) == (done.code, done.out, left)
    assert (0, "There is no sandbox.\n") == (none.code, none.out)
    ids = {up["database"]["id"] for up in (before, after, renewed)}
    assert 3 == len(ids)


async def test_commands_show_that_it_is_a_sandbox(place: Place) -> None:
    """
    `status`, `doctor`, and lists of databases show it; lists on stderr, so that the output can be processed.
    """
    await place.up()

    status = await place.run("--profile", "sandbox", "status")
    answer = await place.run("--profile", "sandbox", "status", "--json")
    listed = await place.run("--profile", "sandbox", "databases", "list")
    as_json = await place.run("--profile", "sandbox", "databases", "list", "--json")
    doctor = await place.run("--profile", "sandbox", "doctor")

    assert "Upstream:        sandbox, a local Upstash (http://127.0.0.1:" in status.out
    assert "sandbox" == answer.json["upstream"]
    assert "This is a sandbox (profile sandbox), not your Upstash account.\n" == listed.err
    assert (listed.code, as_json.code, "") == (0, 0, as_json.err)
    assert "Upstream: a sandbox, a local Upstash, at http://127.0.0.1:" in doctor.out


async def test_watching_requests_shows_that_it_is_a_sandbox(place: Place) -> None:
    """
    The line comes before the first request, as in the other commands about requests.
    """
    await place.up()

    async with terminal("--profile", "sandbox", "approvals", "watch", environment=place.environment) as watching:
        begun = await watching.shows(b"Press Ctrl-C to stop.")

    assert "This is a sandbox (profile sandbox), not your Upstash account.\n" in begun


# --- something is wrong or in the way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["upstream", "daemon"])
async def test_up_repairs_what_was_killed(place: Place, name: str) -> None:
    """
    If one of the two processes was killed, `up` starts it again. The other one and the data stay.
    """
    before = await place.up()
    other = "daemon" if name == "upstream" else "upstream"
    killed = psutil.Process(before[name]["pid"])
    killed.kill()
    await until_async(lambda: not runs(killed.pid))

    after = await place.up()

    assert after["already_running"] is False
    assert before[other]["pid"] == after[other]["pid"]
    assert before["database"] == after["database"]
    assert ("repaired", "repaired") == write_and_read(after, "repaired")


@posix_only
async def test_down_ends_the_databases_of_a_killed_sandbox(place: Place) -> None:
    """
    Also where the system does not end them with it, as on macOS, and one that refuses to end because it cannot save.
    """
    up = await place.up()
    write_and_read(up, "hello")
    sandbox = psutil.Process(up["upstream"]["pid"])
    [server] = [one for one in sandbox.children() if "valkey" in one.name()]
    shutil.rmtree(place.data / "databases" / up["database"]["id"])
    sandbox.kill()
    await until_async(lambda: not runs(sandbox.pid))

    down = await place.run("sandbox", "down", "--json")
    is_left = runs(server.pid)
    await place.run("sandbox", "reset", "--yes")

    assert (0, {"was_running": True}, False) == (down.code, down.json, is_left)


async def test_damaged_file_can_be_reset(place: Place) -> None:
    """
    If the file with the account is damaged, the error has the command that helps, and that command works.
    """
    await place.up()
    (place.data / "account.json").write_text("{", encoding="utf-8")

    damaged = await place.run("sandbox", "up")
    done = await place.run("sandbox", "reset", "--yes")
    after = await place.up()

    assert exit_codes.FAILURE == damaged.code
    assert "account.json is damaged. To start with an empty sandbox: upstash-helper sandbox reset" in damaged.err
    assert (0, False) == (done.code, after["already_running"])


async def test_sandbox_that_does_not_start_leaves_nothing_running(place: Place) -> None:
    """
    The error has the sandbox's reason, and the daemon, which is useless without the sandbox, is stopped.
    """
    await place.run("sandbox", "reset", "--yes")
    place.data.mkdir(parents=True)
    (place.data / "file").write_text("of another program", encoding="utf-8")

    failed = await place.run("sandbox", "up")
    status = await place.run("sandbox", "status", "--json")
    (place.data / "file").unlink()
    after = await place.up()

    assert exit_codes.FAILURE == failed.code
    assert "The sandbox did not start." in failed.err
    assert "contains other files" in failed.err
    assert "stopped" == status.json["state"]
    assert ("hello", "hello") == write_and_read(after, "hello")


async def test_taken_ports_are_left_to_their_programs(place: Place) -> None:
    """
    If other programs have taken the ports while the sandbox was stopped, it uses others, and keeps its data.
    """
    before = await place.up()
    write_and_read(before, "moved")
    await place.run("sandbox", "down")
    urls = [before["upstream"][name] for name in ("api_url", "issuer_url", "rest_url")] + [before["daemon"]["base_url"]]

    with contextlib.ExitStack() as stack:
        for url in urls:
            listening = stack.enter_context(socket.socket())
            if sys.platform != "win32":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", int(url.rpartition(":")[2])))
            listening.listen()
        after = await place.up()

    now = [after["upstream"][name] for name in ("api_url", "issuer_url", "rest_url")] + [after["daemon"]["base_url"]]
    assert set() == set(urls) & set(now)
    assert before["database"] == after["database"]
    assert ("moved again", "moved again") == write_and_read(after, "moved again")


async def test_programs_of_ours_are_named_when_they_have_a_port(place: Place) -> None:
    """
    If the sandbox or a daemon is in the way, the message says which, and of which profile, instead of "python".
    """
    up = await place.up()
    ports = {name: url.rpartition(":")[2] for name, url in up["env"].items() if name != "UPSTASH_REDIS_REST_TOKEN"}
    daemon_port = up["daemon"]["base_url"].rpartition(":")[2]
    daemon = f"another upstash-helper (profile sandbox, process {up['daemon']['pid']})"
    sandbox = f"the sandbox (upstash-helper sandbox, process {up['upstream']['pid']})"

    ran = {
        "run": await place.run("run", "--port", daemon_port),
        "start": await place.run("start", "--port", daemon_port),
        "run on the sandbox": await place.run("run", "--port", ports["UPSTASH_REDIS_REST_URL"]),
        "run on a database": await place.run("run", "--port", ports["REDIS_URL"]),
        "sandbox": await place.run("sandbox", "--data", str(place.home / "other"), "--port", daemon_port),
    }
    doctor = await run_cli("doctor", environment=place.environment | {"UPSTASH_HELPER_PORT": daemon_port})

    for name, holder in {
        "run": daemon,
        "start": daemon,
        "sandbox": daemon,
        "run on the sandbox": sandbox,
        "run on a database": sandbox,
    }.items():
        assert f"in use by {holder}" in ran[name].err
        assert 0 != ran[name].code
    assert f"in use by {daemon}" in doctor.out
    # As where the system hides which process has the socket of a daemon.
    assert ("sandbox", up["daemon"]["pid"]) == daemon_on(int(daemon_port), environ=place.environment)


async def test_profiles_for_something_else_are_left_alone(place: Place) -> None:
    """
    The default profile, one with other files, and one whose daemon was started for something else are refused. So is
    one with the credential of a real account, although it is called "sandbox".
    """
    with tempfile.TemporaryDirectory(prefix="uh-") as folder:
        home = Path(folder) / "home"
        environment = place.environment | {"UPSTASH_HELPER_HOME": str(home)}
        settings = home / "config" / "profiles" / "work" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text('log_level = "info"\n', encoding="utf-8")
        default, work = [
            await run_cli("--profile", name, "sandbox", "up", environment=environment) for name in ("default", "work")
        ]
        with DaemonProcess.running(home, api_url="http://127.0.0.1:9", profile="sandbox") as daemon:
            by_hand = await run_cli("sandbox", "up", environment=environment)
            still_runs = daemon.client.status().pid
        credential = home / "state" / "profiles" / "sandbox" / "credential.json"
        credential.write_text("{}", encoding="utf-8")
        real = await run_cli("sandbox", "up", "--reset", "--yes", environment=environment)
        is_kept = credential.exists()

    assert exit_codes.USAGE == default.code
    assert "is for your Upstash account" in default.err
    assert exit_codes.FAILURE == work.code
    assert f"that this command did not write, such as {settings}" in work.err
    assert exit_codes.FAILURE == by_hand.code
    assert f"The running daemon of the profile sandbox (process {still_runs}) uses" in by_hand.err
    assert (exit_codes.FAILURE, True) == (real.code, is_kept)
    assert "The profile sandbox has files that this command did not write" in real.err


async def test_own_settings_are_kept_unless_they_contradict(place: Place) -> None:
    """
    Other lines in the profile's config.toml stay. One that would point the daemon elsewhere is an error with its place.
    """
    await place.up()
    written = place.config.read_text(encoding="utf-8")
    try:
        place.config.write_text(f'{written}log_level = "debug"\n', encoding="utf-8")
        kept = await place.run("sandbox", "up")
        after = place.config.read_text(encoding="utf-8")
        await place.run("sandbox", "down")
        place.config.write_text('api_url = "https://api.upstash.com"\n', encoding="utf-8")
        contradicting = await place.run("sandbox", "up")
        left = sandboxes_of(place)
    finally:
        await place.run("sandbox", "down")
        place.config.write_text(written, encoding="utf-8")

    assert (0, True) == (kept.code, after.endswith('log_level = "debug"\n'))
    assert exit_codes.USAGE == contradicting.code
    assert "line 1, sets api_url" in contradicting.err
    assert [] == left, "a sandbox without its daemon is of no use"


async def test_settings_of_the_real_helper_in_the_environment_have_no_effect(place: Place) -> None:
    """
    Variables that configure the user's own helper do not reach the sandbox's daemon.
    """
    await place.run("sandbox", "down")
    own = {"API_URL": "https://api.upstash.com", "PORT": "3000", "CREDENTIAL_STORE": "keyring", "CLIENT_ID": "mine"}
    other = Place(place.home, place.environment | {f"UPSTASH_HELPER_{name}": value for name, value in own.items()})

    up = await other.up()

    assert "3000" != up["daemon"]["base_url"].rpartition(":")[2]
    assert ("hello", "hello") == write_and_read(up, "hello")


async def _up_on_a_read_only_system(folder: Path) -> list[Any]:
    inherited = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    ran = [await run_cli("sandbox", word, environment=inherited) for word in ("up", "status", "down")]
    return [(one.code, one.out, one.err) for one in ran]


def test_read_only_home(tmp_path: Path) -> None:
    """
    Where nothing can be written, `up` says what cannot be created and what to set, and `status` and `down` work.
    """
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && ! touch "$1/file" 2>/dev/null'
    up, status, down = run_with_mounts(script, _up_on_a_read_only_system, tmp_path)

    assert exit_codes.USAGE == up[0]
    assert "Read-only file system" in up[2]
    assert "UPSTASH_HELPER_HOME" in up[2]
    assert (exit_codes.NOT_RUNNING, 0) == (status[0], down[0])


# --- in the foreground ------------------------------------------------------------------------------------------------


@posix_only
async def test_foreground_stops_everything_with_ctrl_c(place: Place) -> None:
    """
    With --foreground, Ctrl-C stops both processes, and the exit code is 0.
    """
    await place.run("sandbox", "down")
    with subprocess.Popen(
        [sys.executable, "-m", "upstash_helper", "sandbox", "up", "--json", "--foreground"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=place.environment, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        up = json.loads(await asyncio.to_thread(process.stdout.readline))
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(process.communicate, None, END_SECONDS)

    assert (0, False, False) == (process.returncode, runs(up["upstream"]["pid"]), runs(up["daemon"]["pid"]))
    assert "The sandbox was stopped." in err


async def test_foreground_ends_when_a_process_ends(place: Place) -> None:
    """
    With --foreground, the end of one process stops the other one, and is an error that names it.
    """
    await place.run("sandbox", "down")
    with subprocess.Popen(
        [sys.executable, "-m", "upstash_helper", "sandbox", "up", "--json", "--foreground"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=place.environment, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        up = json.loads(await asyncio.to_thread(process.stdout.readline))
        psutil.Process(up["upstream"]["pid"]).kill()
        _, err = await asyncio.to_thread(process.communicate, None, END_SECONDS)

    assert (exit_codes.FAILURE, False) == (process.returncode, runs(up["daemon"]["pid"]))
    assert "The sandbox exited, so everything was stopped" in err


async def test_foreground_that_cannot_show_the_addresses_stops_everything(place: Place, tmp_path: Path) -> None:
    """
    With --foreground, nothing stays behind after an error, unless it was running before.
    """
    file = tmp_path / ".env"
    file.write_text("REDIS_URL=rediss://example.upstash.io:6379\n", encoding="utf-8")
    words = ("sandbox", "up", "--foreground", "--env-file", str(file))
    await place.run("sandbox", "down")

    stopped = await place.run(*words)
    after_start = (await place.run("sandbox", "status", "--json")).json["state"]
    await place.up()
    joined = await place.run(*words)
    after_join = (await place.run("sandbox", "status", "--json")).json["state"]

    assert [exit_codes.FAILURE] * 2 == [stopped.code, joined.code]
    assert "already sets REDIS_URL" in stopped.err
    assert ("stopped", "running") == (after_start, after_join)


@posix_only
async def test_ctrl_c_while_the_daemon_starts_leaves_nothing_running(place: Place) -> None:
    """
    Also if the daemon's process exists, but has not yet announced that it runs.
    """
    await place.run("sandbox", "down")
    with subprocess.Popen(
        [sys.executable, "-m", "upstash_helper", "sandbox", "up", "--foreground"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=place.environment, text=True,
    ) as process:  # fmt: skip
        started = psutil.Process(process.pid)
        children: list[psutil.Process] = []
        while len(children) < 2 and process.poll() is None:
            children = started.children()
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(process.communicate, None, END_SECONDS)

    await until_async(lambda: not any(runs(child.pid) for child in children))
    assert (2, 0) == (len(children), process.returncode)
    assert "The sandbox was stopped." in err


@posix_only
async def test_everything_stops_if_the_foreground_is_killed(place: Place) -> None:
    """
    With --foreground, nothing outlives the command, not even after SIGKILL, which ends it without its own code.
    """
    await place.run("sandbox", "down")
    with subprocess.Popen(
        [sys.executable, "-m", "upstash_helper", "sandbox", "up", "--json", "--foreground"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=place.environment, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        processes = processes_of(json.loads(await asyncio.to_thread(process.stdout.readline)))
        process.kill()

        await until_async(lambda: not any(runs(one.pid) for one in processes))

    state = await place.run("sandbox", "status", "--json")
    assert "stopped" == state.json["state"]
