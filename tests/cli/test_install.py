"""Installing the helper into a real ``systemd --user``, using it, and removing it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.install_context import AWKWARD, context, listing
from tests.support.until import until
from tests.support.user_systemd import UserSystemd
from upstash_helper.service import executable, linux

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.user_systemd import Ended

pytestmark = pytest.mark.slow

SOCKET, SERVICE = "upstash-helper.socket", "upstash-helper.service"
AWKWARD_HOME = 'Zoë\'s %h $x "home"'

# `install` refuses to create a service for a checkout below /tmp.
INSTALL = ("install", *(("--force",) if executable.unsuitable_reason(executable.this_program()) else ()))

OPEN_BROWSER = """
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.settings.profiles import locate
folders = locate()[1]
DaemonClient.discover(folders.runtime, state=folders.state).connect(open_browser=True)
"""
"""Has the daemon open the browser, as an app does. (The command line opens it itself.)"""

ASK = """
import sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=30) as answer:
        print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
except (OSError, urllib.error.URLError) as error:
    print(type(getattr(error, "reason", error)).__name__)
"""

PAIR = """
import json, os, sys, urllib.request
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.settings.profiles import locate
client = DaemonClient.discover(locate()[1].runtime)
body = json.dumps({"name": "Kept", "scopes": ["databases:read"]}).encode()
asked = urllib.request.Request(client.base_url + "/v1/pairings", body, {"Content-Type": "application/json"})
pairing = json.load(urllib.request.urlopen(asked, timeout=30))
client.approve(pairing["id"])
headers = {"Authorization": f"Bearer {pairing['poll_secret']}"}
url = f"{client.base_url}/v1/pairings/{pairing['id']}/token"
urllib.request.urlopen(urllib.request.Request(url, headers=headers, method="POST"), timeout=30)
"""

STORE = """
import asyncio
from upstash_helper.broker.models import Credential
from upstash_helper.broker.models import Secret
from upstash_helper.settings.config import load_profile
from upstash_helper.storage.credentials.keyring_store import KeyringStore
store = KeyringStore("upstash-helper", load_profile().credential_name)
credential = Credential(email="zoe@example.com", api_key=Secret("k-1"), method="oauth", since=1.0, key_name="helper-1")
asyncio.run(store.save(credential))
"""

STORE_GRANT = """
import asyncio
from upstash_helper.broker.models import Credential, Grant, Secret
from upstash_helper.settings.config import load_profile
from upstash_helper.storage.credentials.keyring_store import KeyringStore
store = KeyringStore("upstash-helper", load_profile().credential_name)
grant = Grant(refresh_token=Secret("k-1"), issuer="https://i.test", client_id="c", client_name="helper (lovelace)")
asyncio.run(store.save(Credential(email="zoe@example.com", method="grant", since=1.0, grant=grant)))
"""

CONNECT = """
import subprocess, sys
from upstash_helper.cli.sandbox.browserless_login import BrowserSession
command = subprocess.Popen(
    [sys.executable, "-P", "-m", "upstash_helper", "connect", "--no-browser"],
    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
)
printed, address = "", ""
for line in command.stderr:
    printed += line
    address = line.strip() if line.strip().startswith("http") else address
    if "Waiting" in line:
        break
browser = BrowserSession()
consent = browser.sign_up(address, email=sys.argv[1], password="correct horse battery staple")
browser.follow(browser.allow(consent))
out, err = command.communicate(timeout=60)
print(printed + out + err)
sys.exit(command.returncode)
"""

STORED = """
import asyncio
from upstash_helper.settings.config import load_profile
from upstash_helper.storage.credentials.keyring_store import KeyringStore
print(asyncio.run(KeyringStore("upstash-helper", load_profile().credential_name).load()))
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[UserSystemd]:
    """A user who is logged in, with a settings file."""
    home = tmp_path / AWKWARD_HOME
    home.mkdir()
    (home / "notes.txt").write_text("mine")
    with UserSystemd.running(home) as session:
        yield session


def ask(session: UserSystemd, host: str = "127.0.0.1", port: int = 3000) -> str:
    """Request the daemon's health as any program does; return the status, or why there is no answer."""
    return session.run(sys.executable, "-c", ASK, f"http://{host}:{port}/health").out.strip()


def state(session: UserSystemd, unit: str) -> str:
    """Return systemd's state of a unit."""
    return session.run("systemctl", "--user", "is-active", unit).out.strip()


def with_bus(session: UserSystemd) -> dict[str, str]:
    """Start a session bus, and return its environment variables."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is missing: apt-get install dbus")
    address = f"unix:path={session.runtime}/bus-of-a-test"
    # Its children would keep the pipes open.
    start = 'dbus-daemon --session --fork --nopidfile --address="$0" > "$1" 2>&1'
    done(session.run("sh", "-c", start, address, f"{session.runtime}/bus.log"))
    return {"DBUS_SESSION_BUS_ADDRESS": address}


def done(ended: Ended) -> Ended:
    """Expect that a command succeeded."""
    assert 0 == ended.code, ended.out + ended.err
    return ended


def test_install_works_until_uninstall_removes_everything(session: UserSystemd) -> None:
    """It works immediately and after a restart, on the first request on either address; uninstall leaves nothing."""
    before = listing(session.home)

    installed = done(session.helper(*INSTALL))
    at_once = [state(session, SOCKET), state(session, SERVICE), ask(session), ask(session, "[::1]")]
    session.log_out()
    logged_out = ask(session)
    session.log_in()
    after = [state(session, SOCKET), state(session, SERVICE)]
    answers = [ask(session, "[::1]"), ask(session), state(session, SERVICE)]
    done(session.helper("uninstall", "--purge", "--yes"))

    last = installed.out.strip().splitlines()[-1]
    assert (True, True) == (last.startswith("Next: "), ": upstash-helper connect" in last)
    assert ["active", "active", "200", "200"] == at_once
    assert "ConnectionRefusedError" == logged_out
    assert ["active", "inactive"] == after
    assert ["200", "200", "active"] == answers
    assert before == listing(session.home)
    assert not (session.runtime / "upstash-helper").exists()
    assert ("ConnectionRefusedError", "inactive", "inactive") == (
        ask(session),
        state(session, SOCKET),
        state(session, SERVICE),
    )
    assert "" == session.run("systemctl", "--user", "list-unit-files", "--no-legend", "upstash-helper*").out


def test_desktop_session_starts_and_stops_the_daemon(session: UserSystemd) -> None:
    """The daemon gets the environment of the desktop session, and stops with it."""
    done(session.helper(*INSTALL))
    session.log_out()
    session.log_in()

    target = session.home / ".config/systemd/user/desktop-of-a-test.target"
    target.write_text("[Unit]\nBindsTo=graphical-session.target\nWants=graphical-session-pre.target\n")
    done(session.run("systemctl", "--user", "daemon-reload"))
    # The environment of the daemon itself cannot be read, since it is not dumpable. A setting from there can.
    setting = "UPSTASH_HELPER_AUTH_URL=https://session.example.com"
    done(session.run("systemctl", "--user", "set-environment", setting))
    done(session.run("systemctl", "--user", "start", target.name))
    until(lambda: state(session, SERVICE) == "active")
    used = done(session.helper("status", "--json")).json["auth_url"]
    done(session.run("systemctl", "--user", "stop", target.name))
    until(lambda: state(session, SERVICE) == "inactive")

    assert "https://session.example.com" == used
    assert ("active", "200") == (state(session, SOCKET), ask(session))


def test_second_install_changes_nothing(session: UserSystemd) -> None:
    """The daemon is not even restarted."""
    done(session.helper(*INSTALL))
    first = done(session.helper("service", "status", "--json")).json

    again = done(session.helper("install", "--json")).json if len(INSTALL) == 1 else None
    second = done(session.helper("service", "status", "--json")).json

    assert again is None or (False, []) == (again["changed"], again["steps"])
    assert first == second
    assert (True, True, False) == (first["installed"], first["enabled"], first["outdated"])


def test_update_keeps_the_apps(session: UserSystemd) -> None:
    """The port changes here; the daemon moves, and still has its apps."""
    done(session.helper(*INSTALL))
    done(session.run(sys.executable, "-c", PAIR))
    config = session.home / ".config/upstash-helper/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("port = 3210\n")

    outdated = done(session.helper("service", "status", "--json")).json["outdated"]
    done(session.helper(*INSTALL))
    status = done(session.helper("service", "status", "--json")).json
    apps = done(session.helper("apps", "list", "--json")).json

    assert (True, False) == (outdated, status["outdated"])
    assert ("200", "ConnectionRefusedError") == (ask(session, port=3210), ask(session))
    assert ["127.0.0.1:3210", "[::1]:3210"] == status["listening"]
    assert "Kept" in json.dumps(apps)


def test_crashed_daemon_is_restarted(session: UserSystemd) -> None:
    """A request in the meantime waits, and is answered."""
    done(session.helper(*INSTALL))
    pid = done(session.helper("service", "status", "--json")).json["pid"]

    done(session.run("kill", f"-{signal.SIGKILL}", str(pid)))
    answer = ask(session)
    again = done(session.helper("service", "status", "--json")).json["pid"]

    assert "200" == answer
    assert pid != again


def test_browser_survives_the_daemon(session: UserSystemd) -> None:
    """The user's browser is the daemon's child, and keeps running when the daemon stops."""
    config = session.home / ".config/upstash-helper/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('client_id = "c"\nauth_url = "http://127.0.0.1:9"\n')
    browser, opened = session.runtime / "browser", session.runtime / "opened"
    browser.write_text(f"#!/bin/sh\nsleep 600 > /dev/null 2>&1 &\necho $! > {opened}.new\nmv {opened}.new {opened}\n")
    browser.chmod(0o700)
    done(session.run("systemctl", "--user", "set-environment", f"BROWSER={browser}"))
    done(session.helper(*INSTALL))

    done(session.run(sys.executable, "-c", OPEN_BROWSER))
    until(opened.exists)
    done(session.helper("stop"))
    alive = session.run("kill", "-0", opened.read_text().strip()).code

    assert ("inactive", 0) == (state(session, SERVICE), alive)


def test_invalid_setting_does_not_cause_a_restart_loop(session: UserSystemd) -> None:
    """Requests get an explanation, the socket stays, and the fixed setting works."""
    done(session.helper(*INSTALL))
    done(session.helper("stop"))
    done(session.run("systemctl", "--user", "start", SOCKET))
    config = session.home / ".config/upstash-helper/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('log_level = "loud"\n')

    shown = ask(session)
    until(lambda: state(session, SERVICE) == "failed")
    code = session.run("systemctl", "--user", "show", "--property=ExecMainStatus", "--value", SERVICE).out.strip()
    reported = session.helper("start")
    config.unlink()
    done(session.helper("start"))

    assert ("503", "2") == (shown, code)
    assert (2, True) == (reported.code, "loud" in reported.err or "log_level" in reported.err)
    assert "200" == ask(session)


def test_busy_port_is_reported_and_waited_for(session: UserSystemd) -> None:
    """The daemon binds the port once it is free; systemd holds it after a restart or the next login."""
    server = ("systemd-run", "--user", "--unit=other", sys.executable, "-m", "http.server", "--bind=127.0.0.1", "3000")
    done(session.run(*server))
    until(lambda: ask(session) in {"404", "200"})

    installed = session.helper(*INSTALL)
    started = session.helper("start")
    done(session.run("systemctl", "--user", "stop", "other"))
    until(lambda: ask(session) == "200")
    without_socket = state(session, SOCKET)
    done(session.helper("restart"))

    assert (7, True, True) == (installed.code, "is not running" in installed.err, "in use by" in installed.err)
    assert (7, True) == (started.code, "in use by" in started.err)
    assert "failed" == without_socket
    assert ("200", "active", "active") == (ask(session), state(session, SERVICE), state(session, SOCKET))


def test_busy_port_at_login_is_waited_for(session: UserSystemd) -> None:
    """The login is not delayed, commands explain it, and the daemon starts once the port is free."""
    done(session.helper(*INSTALL))
    done(session.run("systemctl", "--user", "stop", SOCKET, SERVICE))
    server = ("systemd-run", "--user", "--unit=other", sys.executable, "-m", "http.server", "--bind=127.0.0.1", "3000")
    done(session.run(*server))
    until(lambda: ask(session) in {"404", "200"})

    done(session.run("systemctl", "--user", "start", SERVICE))
    waiting = session.helper("status")
    done(session.run("systemctl", "--user", "stop", "other"))
    until(lambda: ask(session) == "200")

    assert (3, True) == (waiting.code, "is waiting for its port" in waiting.err)
    assert "active" == state(session, SERVICE)
    done(session.helper("status"))


def test_tray_icon_is_installed_and_removed(session: UserSystemd) -> None:
    """On a desktop it starts immediately. Here it waits for a panel, as at login."""
    before = listing(session.home)
    desktop = {"DISPLAY": ":77", **with_bus(session)}

    def starts_the_tray(*arguments: str) -> list[str]:
        steps = done(session.helper("install", "--force", "--json", *arguments, environ=desktop)).json["steps"]
        return [step["what"].partition(" tray ")[2] for step in steps if " tray " in step["what"]]

    started = starts_the_tray()
    until(lambda: not starts_the_tray("--dry-run"))
    config = session.home / ".config/upstash-helper/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("port = 3210\n")  # any change that needs an update
    replaced = starts_the_tray("--dry-run")
    gone = done(session.helper("uninstall", "--purge", "--yes", "--json")).json
    held = session.run("pgrep", "-f", "upstash_helper tray").out

    assert (["--wait 60"], ["--wait 60 --replace"]) == (started, replaced)
    assert ["stop"] == [step["action"] for step in gone["steps"][:1]]
    assert ("", before) == (held, listing(session.home))


def test_doctor_checks_the_installation(session: UserSystemd) -> None:
    """A changed port, a modified unit, and a missing program are reported."""
    done(session.helper(*INSTALL))

    def service() -> list[tuple[str, str]]:
        checks = session.helper("doctor", "--json").json["checks"]
        return [(check["state"], check["detail"]) for check in checks if check["name"] == "Service"]

    unit = session.home / ".config" / "systemd" / "user" / SERVICE
    as_installed, fine = unit.read_text(), service()
    config = session.home / ".config" / "upstash-helper" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("port = 3210\n")
    moved = service()
    unit.write_text(as_installed.replace("RestartSec=2", "RestartSec=9"))
    edited = service()
    unit.write_text(as_installed.replace(sys.executable, "/opt/gone/python"))
    gone = service()

    assert ["ok"] == [state for state, _ in fine]
    assert ["ok", "warning"] == [state for state, _ in moved]
    assert "port" in moved[1][1]
    assert str(unit) in edited[1][1]
    assert ("error", True) == (gone[1][0], "/opt/gone/python" in gone[1][1])


def test_start_and_stop_use_systemd(session: UserSystemd) -> None:
    """There is never a second daemon, and no request starts a stopped one."""
    done(session.helper(*INSTALL))

    done(session.helper("service", "stop"))
    stopped = [state(session, SERVICE), state(session, SOCKET), ask(session)]
    done(session.helper("start"))
    started = [state(session, SERVICE), state(session, SOCKET), ask(session)]
    main = session.run("systemctl", "--user", "show", "--property=MainPID", "--value", SERVICE).out.strip()
    status = done(session.helper("service", "status", "--json")).json
    done(session.helper("restart"))
    refused = session.helper("start", "--log-level", "debug") if session.helper("stop").code == 0 else None

    assert ["inactive", "inactive", "ConnectionRefusedError"] == stopped
    assert ["active", "active", "200"] == started
    assert int(main) == status["pid"]
    assert refused is not None
    assert (2, True) == (refused.code, "config.toml" in refused.err)


def test_running_daemon_is_replaced_by_the_service(session: UserSystemd) -> None:
    """A daemon that was started manually holds the port that systemd needs."""
    done(session.helper("start"))
    by_hand = done(session.helper("service", "status", "--json")).json

    done(session.helper(*INSTALL))
    installed = done(session.helper("service", "status", "--json")).json

    assert (False, True, True, True) == (
        by_hand["installed"],
        by_hand["running"],
        installed["installed"],
        installed["running"],
    )
    assert by_hand["pid"] != installed["pid"]
    assert "active" == state(session, SERVICE)


def test_two_profiles_can_be_installed(session: UserSystemd) -> None:
    """Each has its own port; removing one leaves the other, its files, and the completions."""
    done(session.helper(*INSTALL))
    config = session.home / ".config/upstash-helper/profiles/work/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("port = 3211\n")
    alone = listing(session.home)

    done(session.helper("--profile", "work", *INSTALL))
    both = ask(session), ask(session, port=3211)
    done(session.helper("--profile", "work", "uninstall", "--purge", "--yes"))

    assert ("200", "200") == both
    assert ("200", "ConnectionRefusedError") == (ask(session), ask(session, port=3211))
    assert {path for path in alone if "/profiles/work/" not in path} <= set(listing(session.home))
    assert not any("work" in path for path in listing(session.home))


def test_systemd_runs_exactly_the_command(session: UserSystemd) -> None:
    """The program receives the planned arguments, whatever the names of the folders."""
    folder = session.home / ".config/systemd/user"
    folder.mkdir(parents=True)
    wanted, seen = [], []
    for number, path in enumerate(AWKWARD):
        script = Path(f"{session.home}/{number}{path}")
        script.parent.mkdir(parents=True)
        script.write_text('#!/bin/sh\nprintf "%s\\0" "$0" "$@" "$UPSTASH_HELPER_HOME" > "$SEEN"\n')
        script.chmod(0o700)
        shown = session.home / f"{number}.seen"
        arguments = (path, "$HOME", "${HOME}", "%h", "'", '"', "\\", " ")
        found = context(
            session.home,
            profile=f"p{number}",
            program=(str(script), *arguments),
            environment={"UPSTASH_HELPER_HOME": path, "SEEN": str(shown)},
        )
        _, service = linux.unit_files(found)
        unit = service.content.decode().replace("Type=notify", "Type=oneshot").replace("Restart=on-failure\n", "")
        (folder / service.path.name).write_text(unit)
        done(session.run("systemctl", "--user", "daemon-reload"))
        done(session.run("systemctl", "--user", "start", service.path.name))
        wanted.append([str(script), *arguments, "--profile", f"p{number}", "run", "--wait-for-port", path])
        seen.append(shown.read_text().split("\0")[:-1])

    assert wanted == seen


@pytest.mark.parametrize(
    ("store", "note"),
    [
        pytest.param(STORE, "The API key helper-1 is still valid. Delete it in the Upstash console", id="key"),
        pytest.param(STORE_GRANT, "The sign-in helper (lovelace) is still valid. Revoke it in the Upstash", id="grant"),
    ],
)
def test_purge_deletes_the_credential_from_the_keyring_and_names_it(
    session: UserSystemd, store: str, note: str
) -> None:
    """It stays valid at Upstash until the user deletes it there."""
    if not Path("/usr/bin/gnome-keyring-daemon").exists():
        pytest.skip("gnome-keyring-daemon is missing: apt-get install gnome-keyring")
    bus = with_bus(session)
    done(session.run("gnome-keyring-daemon", "--unlock", "--components=secrets", environ=bus, typed="password"))
    done(session.run(sys.executable, "-c", store, environ=bus))
    done(session.helper(*INSTALL, environ=bus))
    kept = done(session.run(sys.executable, "-c", STORED, environ=bus)).out

    gone = done(session.helper("uninstall", "--purge", "--yes", environ=bus))

    assert "zoe@example.com" in kept
    assert "None\n" == done(session.run(sys.executable, "-c", STORED, environ=bus)).out
    assert note in gone.err
    assert "k-1" not in gone.out + gone.err


def test_new_user_installs_connects_and_creates_a_database(session: UserSystemd, tmp_path: Path) -> None:
    """Without ever reading about a client ID."""
    ready = tmp_path / "ready.json"
    sandbox = f"{sys.executable} -P -m upstash_helper sandbox --port 0 --data '{tmp_path}/sandbox'"
    session.run("sh", "-c", f"{sandbox} < /dev/null > '{ready}' 2> '{tmp_path}/sandbox.errors' &")
    until(lambda: ready.exists() and ready.read_text().endswith("}\n"))
    addresses = json.loads(ready.read_text())
    settings = {name: addresses[name] for name in ("issuer_url", "api_url", "rest_url")} | {"credential_store": "file"}
    config = session.home / ".config/upstash-helper/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("".join(f"{name} = {json.dumps(text)}\n" for name, text in settings.items()), encoding="utf-8")

    ran = [
        session.helper(*INSTALL),
        session.helper("status"),
        session.run(sys.executable, "-c", CONNECT, "zoe@example.com"),
        session.helper("status"),
        session.helper("databases", "create", "orders", "--region", "us-east-1"),
        session.helper("databases", "list"),
    ]
    gone = done(session.helper("uninstall", "--purge", "--yes"))

    printed = "\n".join(done(ended).out + ended.err for ended in ran)
    assert "Connected as zoe@example.com" in ran[2].out
    assert "orders" in ran[-1].out
    assert "Upstash was asked to revoke the sign-in." in gone.err
    assert "is still valid" not in gone.err
    # The address of the sign-in has the parameter, which OAuth requires. It is no text that anybody reads.
    assert not re.search(r"client.?id", re.sub(r"https?://\S+", "", printed), re.IGNORECASE), printed


def test_uninstall_lists_what_is_kept(session: UserSystemd) -> None:
    """It shows how to remove it; the apps are kept for a later install."""
    done(session.helper(*INSTALL))
    done(session.run(sys.executable, "-c", PAIR))

    gone = done(session.helper("uninstall"))
    state_folder = session.home / ".local/state/upstash-helper"
    done(session.helper(*INSTALL))

    assert str(state_folder) in gone.err
    assert str(session.runtime) not in gone.err
    assert "upstash-helper uninstall --purge" in gone.err
    assert "Kept" in done(session.helper("apps", "list")).out


def test_purge_asks_for_confirmation(session: UserSystemd) -> None:
    """Without a terminal, nothing happens without --yes."""
    done(session.helper(*INSTALL))
    before = listing(session.home)

    asked = session.helper("uninstall", "--purge")

    assert (2, True) == (asked.code, "--yes" in asked.err)
    assert before == listing(session.home)
    assert "200" == ask(session)


def test_dry_run_changes_nothing(session: UserSystemd) -> None:
    """It shows what install and uninstall would write, remove, and run."""
    before = listing(session.home)
    shown = done(session.helper("install", "--dry-run", "--json")).json
    untouched = listing(session.home)
    done(session.helper(*INSTALL))
    installed = listing(session.home)
    removal = done(session.helper("uninstall", "--purge", "--dry-run", "--json")).json

    assert (True, False, "systemd") == (shown["dry_run"], shown["changed"], shown["manager"])
    assert str(session.home / ".config/systemd/user" / SERVICE) in [step["what"] for step in shown["steps"]]
    assert before == untouched
    assert "remove" in {step["action"] for step in removal["steps"]}
    assert set(installed) <= set(listing(session.home))


def test_variables_of_the_terminal_are_reported(session: UserSystemd) -> None:
    """The service does not have them, so it could use other settings than expected."""
    ended = done(session.helper(*INSTALL, environ={"UPSTASH_HELPER_PORT": "3999"}))

    assert "UPSTASH_HELPER_PORT" in ended.err
    assert ("200", "ConnectionRefusedError") == (ask(session), ask(session, port=3999))


def test_custom_home_is_installed_in_place(session: UserSystemd) -> None:
    """All of its folders are below its root and are removed with it; the default profile is not affected."""
    before = listing(session.home)
    root = {"UPSTASH_HELPER_HOME": str(session.home / "a world")}
    done(session.helper(*INSTALL, environ=root))

    inside = done(session.helper("service", "status", "--json", environ=root)).json
    outside = done(session.helper("service", "status", "--json")).json
    refused = session.helper("install", "--force")
    done(session.helper("uninstall", "--purge", "--yes", environ=root))

    assert (True, True, False) == (inside["installed"], inside["running"], outside["installed"])
    assert str(session.home / "a world") in inside["log"]
    assert (1, True) == (refused.code, "another UPSTASH_HELPER_HOME" in refused.err)
    assert before == listing(session.home)


def test_service_logs_prints_the_log(session: UserSystemd) -> None:
    """As readable lines or unchanged, with the command for systemd's own messages."""
    done(session.helper(*INSTALL))

    shown = done(session.helper("service", "logs", "-n", "1000"))
    raw = done(session.helper("service", "logs", "--json"))

    assert "INFO    ready  pid=" in shown.out
    assert f"journalctl --user --unit {SERVICE}" in shown.err
    assert "ready" in [json.loads(line)["event"] for line in raw.out.splitlines()]


def test_without_a_session_only_uninstall_works(session: UserSystemd) -> None:
    """There is no service manager to start it, and none that has to stop anything."""
    before = listing(session.home)
    done(session.helper(*INSTALL))
    session.log_out()

    refused = session.helper(*INSTALL)
    done(session.helper("uninstall", "--purge", "--yes"))

    assert (1, True) == (refused.code, "loginctl enable-linger" in refused.err)
    assert before == listing(session.home)


def test_kept_files_are_those_that_still_exist(tmp_path: Path) -> None:
    """
    Stopping the daemon removes some of its files, such as the one that says where it listens. In a folder that also has
    the program, as on Windows, the files are listed one by one.
    """
    home = tmp_path / "home"
    with UserSystemd.running(home, systemd=False) as session:
        (home / ".local/state/upstash-helper/venv").mkdir(parents=True)
        done(session.helper(*INSTALL))
        gone = done(session.helper("uninstall"))
        lines = [line for line in gone.err.splitlines() if "Kept for a later install: " in line]
        kept = [Path(line.partition("install: ")[2]) for line in lines]

        assert home / ".local/state/upstash-helper/welcomed" in kept
        assert [] == [path for path in kept if not path.exists()]


def test_desktop_without_systemd_uses_an_autostart_entry(tmp_path: Path) -> None:
    """The entry is run by a desktop's own program here."""
    gio = "/usr/bin/gio"
    if sys.platform == "linux" and not os.access(gio, os.X_OK):
        pytest.skip("gio is missing: apt-get install libglib2.0-bin")
    home = tmp_path / AWKWARD_HOME
    with UserSystemd.running(home, systemd=False) as session:
        done(session.helper(*INSTALL))
        at_once = ask(session)
        done(session.helper("stop"))
        entry = home / ".config/autostart/upstash-helper-daemon.desktop"
        # Its children would keep the pipes open.
        done(session.run("sh", "-c", 'exec "$0" launch "$1" > "$2" 2>&1', gio, str(entry), str(tmp_path / "out")))
        until(lambda: ask(session) == "200")
        status = done(session.helper("service", "status", "--json")).json
        done(session.helper("uninstall", "--purge", "--yes"))

        assert "200" == at_once
        assert ("xdg-autostart", True) == (status["manager"], status["running"])
        assert [sys.executable, "-P", "-m", "upstash_helper", "run", "--wait-for-port"] == status["program"]
        assert [] == listing(home)
        assert "ConnectionRefusedError" == ask(session)
