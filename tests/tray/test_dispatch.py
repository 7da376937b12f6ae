"""Carrying out actions, with a real daemon, upstream, and clipboard."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest

from tests.security.test_t65_full_disk import locked
from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, clean_environment, free_port
from tests.support.recorded_follower import RecordedFollower
from tests.support.sample_app import SampleApp
from tests.support.until import until
from upstash_helper.protocol import wire
from upstash_helper.service.autostart import DesktopAutostart
from upstash_helper.settings.profiles import Folders, locate
from upstash_helper_tray.dispatch.account import clipboard_text
from upstash_helper_tray.dispatch.clipboard import Clipboard
from upstash_helper_tray.dispatch.dispatcher import Dispatcher
from upstash_helper_tray.menu.actions import (
    Action,
    Approve,
    Block,
    CancelConnect,
    Connect,
    CopyCredentials,
    Deny,
    Disconnect,
    KeepAccount,
    OpenConsole,
    OpenDashboard,
    Quit,
    RefreshDatabases,
    Revoke,
    ShowAbout,
    ShowLog,
    StartAtLogin,
    StartDaemon,
    StopDaemon,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.display import Desk
    from tests.support.sandbox import Sandbox
    from upstash_helper_tray.presentation.notifications import Notification

PAGE = "https://orders.example.com"
a_browser_is_a_script = pytest.mark.skipif(
    sys.platform == "win32", reason="platform: the browser of this test is a shell script"
)
START = "upstash-helper --profile mine start"


class RecordingOpener:
    """The ``Opener`` port in memory: it records what it was asked to open."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.private: list[str] = []
        self.fallbacks: list[str | None] = []
        """The addresses among them that contain a secret."""
        self.folders: list[Path] = []
        self.opens = True
        self.error: Exception | None = None

    def open_page(self, address: str) -> bool:
        """Record an address."""
        self.pages.append(address)
        return self._result()

    def open_privately(
        self, address: str, *, folder: Path, name: str, link: str | None = None, fallback: str | None = None
    ) -> bool:
        """Record an address that contains a secret."""
        assert folder.name
        assert name
        self.fallbacks.append(fallback)
        self.pages.append(address)
        self.private.append(address)
        return self._result()

    def open_folder(self, path: Path) -> bool:
        """Record a folder."""
        self.folders.append(path)
        return self._result()

    def _result(self) -> bool:
        if self.error is not None:
            raise self.error
        return self.opens


@dataclass
class User:
    """A user of the tray's menu."""

    recorded: RecordedFollower
    folders: Folders
    environ: dict[str, str]
    autostart: DesktopAutostart
    opener: RecordingOpener = field(default_factory=RecordingOpener)
    notifications: list[Notification] = field(default_factory=list)
    sees_notifications: bool = True

    def __post_init__(self) -> None:
        self.clipboard = Clipboard(environ=self.environ)
        self.dispatcher = Dispatcher(
            store=self.recorded.store,
            follower=self.recorded.follower,
            profile="default",
            folders=self.folders,
            clipboard=self.clipboard,
            autostart=self.autostart,
            opener=self.opener,
            notify=self._notify,
            start_command=START,
        )

    @classmethod
    @contextlib.contextmanager
    def of(cls, folders: Folders, tmp_path: Path, environ: dict[str, str] | None = None) -> Iterator[User]:
        """Follow the daemon with these folders for the duration of the block."""
        autostart = DesktopAutostart(tmp_path / "autostart", "tray", [sys.executable, "-c", "pass"])
        with RecordedFollower.following(folders.runtime) as recorded:
            user = cls(recorded, folders, environ or {}, autostart)
            try:
                yield user
            finally:
                user.dispatcher.stop()
                user.clipboard.clear()

    def choose(self, action: Action) -> list[Notification]:
        """Choose an action, wait until it is done, and return its notifications."""
        before = len(self.notifications)
        self.dispatcher.dispatch(action)
        until(lambda: action not in self.dispatcher.pending, seconds=60)
        return self.notifications[before:]

    def _notify(self, notification: Notification) -> bool:
        self.notifications.append(notification)
        return self.sees_notifications


@pytest.fixture
def user(running: DaemonProcess, tmp_path: Path) -> Iterator[User]:
    """A user of a running daemon."""
    with User.of(running.folders, tmp_path) as user:
        until(lambda: user.recorded.now.connection)
        yield user


# --- apps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("once", [False, True])
def test_approved_app_gets_its_token(user: User, running: DaemonProcess, *, once: bool) -> None:
    """It has all the scopes that the app requested. There is no notification, since the menu shows the result."""
    app = SampleApp.requesting(running, "connection:read", "databases:read", origin=PAGE)

    notifications = user.choose(Approve(app.id, once=once))
    token = app.fetch()

    assert [] == notifications
    assert (200, ["connection:read", "databases:read"]) == (token.status, token.json["scopes"])
    assert once == (token.json["expires_at"] is not None)


def test_denied_app_gets_no_token(user: User, running: DaemonProcess) -> None:
    """Its request is no longer pending."""
    app = SampleApp.requesting(running, origin=PAGE)

    assert [] == user.choose(Deny(app.id))
    assert ("denied", 403) == (app.state, app.fetch().status)


def test_blocked_app_cannot_request_access_again(user: User, running: DaemonProcess) -> None:
    """The daemon rejects its next request."""
    app = SampleApp.requesting(running, origin=PAGE)

    assert [] == user.choose(Block(app.id))
    assert "app_blocked" == app.send("POST", "/v1/pairings", {"name": "x", "scopes": ["connection:read"]}).code


def test_revoked_app_loses_access_immediately(user: User, running: DaemonProcess) -> None:
    """Revoking an app without access is not an error."""
    app = SampleApp.approved(running, origin=PAGE)
    revoke = Revoke(app_id=app.app_id, name="Orders")

    assert [] == user.choose(revoke)
    assert 403 == app.call("GET", "/v1/connection").status
    assert [] == user.choose(revoke)


@pytest.mark.parametrize("late", ["denied", "gone"])
def test_late_approval_is_reported(user: User, running: DaemonProcess, late: str) -> None:
    """The menu was open while the request was decided elsewhere."""
    app = SampleApp.requesting(running, origin=PAGE)
    running.client.deny(app.id)

    (notification,) = user.choose(Approve(app.id if late == "denied" else "0" * 16))

    assert "The request is no longer pending" == notification.title
    assert () == user.recorded.now.pairings
    assert notification.body.endswith((".", "list"))


async def test_approval_does_not_wait_for_a_copy(
    user: User, connected: str, running: DaemonProcess, sandbox: Sandbox
) -> None:
    """Upstash does not answer the request for the credentials."""
    app = SampleApp.requesting(running, origin=PAGE)
    await sandbox.fault(path="/v2/redis/database/*", latency=60)
    copy = CopyCredentials("some-id", "orders", "rest")
    user.dispatcher.dispatch(copy)

    user.choose(Approve(app.id))

    assert 200 == app.fetch().status
    assert copy in user.dispatcher.pending


# --- the account ------------------------------------------------------------------------------------------------------


@a_browser_is_a_script
def test_sign_in_opens_the_browser_and_can_be_canceled(user: User, running: DaemonProcess) -> None:
    """The daemon opens the page. If the user closed it, choosing Connect again opens it from the tray."""
    first = user.choose(Connect())
    attempt = running.client.connection().attempt
    assert attempt is not None
    before = list(user.opener.pages)
    second = user.choose(Connect())
    canceled = user.choose(CancelConnect(attempt.attempt_id))

    assert ([], [], []) == (first, second, canceled)
    assert [] == before
    assert ["/authorize"] == [urlsplit(page).path for page in user.opener.pages]
    assert "failed" == running.client.attempt(attempt.attempt_id).state
    assert [] == user.choose(CancelConnect("no-such-attempt"))


@a_browser_is_a_script
def test_t75_sign_in_without_a_browser_shows_a_command(user: User) -> None:
    """A notification can be an argument of a command that every user can read, so it does not contain the address."""
    user.choose(Connect())
    user.opener.opens = False

    (notification,) = user.choose(Connect())

    assert "upstash-helper connect --no-browser" in notification.body
    assert "state=" not in notification.body


@a_browser_is_a_script
def test_connected_account_is_reported(user: User, connected: str, running: DaemonProcess) -> None:
    """A sign-in starts only if it is forced."""
    (notification,) = user.choose(Connect())
    forced = user.choose(Connect(force=True))

    assert connected in notification.body
    assert [] == forced
    attempt = running.client.connection().attempt
    assert attempt is not None
    assert "pending" == attempt.state


def test_disconnect_shows_the_daemons_detail(user: User, connected: str, running: DaemonProcess) -> None:
    """It may name steps that are left to do."""
    (notification,) = user.choose(Disconnect())

    assert "The account is disconnected." == notification.body
    assert "disconnected" == running.client.connection().state


def test_sign_in_that_cannot_start_is_explained(tmp_path: Path) -> None:
    """For example, if the settings allow none."""
    with (
        DaemonProcess.running(tmp_path / "home", sign_in="partner") as daemon,
        User.of(daemon.folders, tmp_path) as user,
    ):
        (notification,) = user.choose(Connect())

    assert "The sign-in did not start" == notification.title
    assert "client_id" in notification.body


# --- databases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["redis_url", "rest", "dotenv"])
def test_credentials_are_copied(
    running: DaemonProcess, connected: str, desk: Desk, tmp_path: Path, form: Literal["redis_url", "rest", "dotenv"]
) -> None:
    """The notification does not contain them."""
    new = wire.CreateDatabase(name="orders", primary_region="us-east-1")
    made = running.client.create_database(new, idempotency_key="one")
    credentials = running.client.credentials(made.id)
    url, token, redis = credentials.rest_url, credentials.rest_token, credentials.redis_url
    rest = f'UPSTASH_REDIS_REST_URL="{url}"\nUPSTASH_REDIS_REST_TOKEN="{token}"'
    expected = {"redis_url": redis, "rest": rest, "dotenv": f'{rest}\nREDIS_URL="{redis}"'}

    with User.of(running.folders, tmp_path, desk.environ) as user:
        (notification,) = user.choose(CopyCredentials(made.id, "orders", form))

        assert expected[form] == desk.paste()
    assert ("of orders", "60 seconds.") == (notification.title[-9:], notification.body[-11:])
    assert credentials.password not in notification.title + notification.body
    assert credentials.rest_token not in notification.title + notification.body
    assert "" == desk.paste()


def test_env_lines_of_a_database_with_tls_have_the_ca_file(running: DaemonProcess, connected: str) -> None:
    """They say how each client uses it."""
    new = wire.CreateDatabase(name="orders", primary_region="us-east-1", tls=True)
    made = running.client.create_database(new, idempotency_key="one")
    credentials = running.client.credentials(made.id)

    text, _ = clipboard_text(credentials, "dotenv")

    lines = text.splitlines()
    assert credentials.ca_file is not None
    assert f'REDIS_CA_FILE="{Path(credentials.ca_file).as_posix()}"' in lines
    assert [f"# {client}: {code}" for client, code in credentials.ca_usage.items()] == lines[:4]


@pytest.mark.skipif(sys.platform != "linux", reason="platform: elsewhere there is always a clipboard")
def test_failed_copy_is_explained(user: User, connected: str, running: DaemonProcess) -> None:
    """The database does not exist, or there is no clipboard."""
    new = wire.CreateDatabase(name="orders", primary_region="us-east-1")
    made = running.client.create_database(new, idempotency_key="one")

    (gone,) = user.choose(CopyCredentials("no-such-database", "orders", "rest"))
    (nowhere,) = user.choose(CopyCredentials(made.id, "orders", "rest"))

    assert ("Nothing was copied", "Nothing was copied") == (gone.title, nowhere.title)
    assert "database" in gone.body
    assert "no clipboard" in nowhere.body


async def test_refresh_reads_the_databases_again(user: User, connected: str, sandbox: Sandbox) -> None:
    """The error of the new read is shown, and the known databases stay."""
    until(lambda: user.recorded.now.databases is not None)
    await sandbox.fault(path="/v2/redis/databases", status=503, times=None)

    user.choose(RefreshDatabases())

    until(lambda: user.recorded.now.databases_error)
    assert () == user.recorded.now.databases


def test_console_is_opened(user: User) -> None:
    """Without a browser its address is shown."""
    console = OpenConsole("https://console.upstash.com/redis/1")
    opened = user.choose(console)
    user.opener.opens = False
    (notification,) = user.choose(console)

    assert ([], ["https://console.upstash.com/redis/1"] * 2) == (opened, user.opener.pages)
    assert "https://console.upstash.com/redis/1" in notification.body


# --- the daemon -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The home folder of a user whose daemon is not running. It is stopped at the end."""
    for name in os.environ.keys() - clean_environment().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    await run_cli("stop", environment=clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path / "home")})


def configured(home: Path, port: int) -> Folders:
    """Write the settings of a daemon, and return its folders."""
    (home / "config").mkdir(parents=True)
    lines = [f"port = {port}", 'credential_store = "memory"', "open_browser = false", "notifications = false", ""]
    (home / "config" / "config.toml").write_text("\n".join(lines))
    return locate()[1]


async def test_daemon_is_started_and_stopped(home: Path, tmp_path: Path) -> None:
    """The icon shows that it is starting. Stopping a daemon that is not running is not an error."""
    folders = configured(home, free_port())
    with User.of(folders, tmp_path) as user:
        notifications = user.choose(StartDaemon())
        until(lambda: user.recorded.now.daemon == "running")
        started = [state.daemon for state in user.recorded.states if state.daemon != "absent"]
        notifications += user.choose(StopDaemon())
        until(lambda: user.recorded.now.daemon == "absent")
        notifications += user.choose(StopDaemon())

    assert [] == notifications
    assert "starting" == started[0]
    assert "" == user.recorded.now.error_text


async def test_daemon_that_cannot_start_is_explained(home: Path, tmp_path: Path) -> None:
    """The reason is in a notification, and in the menu until the daemon is running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with User.of(configured(home, port), tmp_path) as user:
            (notification,) = user.choose(StartDaemon())
            until(lambda: user.recorded.now.daemon == "absent")

    assert "The helper did not start" == notification.title
    assert str(port) in notification.body
    assert notification.body == user.recorded.now.error_text


@pytest.mark.parametrize(
    "action", [OpenDashboard(), Connect(), CopyCredentials("id", "orders", "rest"), Approve("id"), Revoke("id", "x")]
)
def test_action_without_a_daemon_shows_how_to_start_it(tmp_path: Path, action: Action) -> None:
    """The menu was open when the daemon ended."""
    folders = locate(environ={"UPSTASH_HELPER_HOME": str(tmp_path / "home")})[1]
    with User.of(folders, tmp_path) as user:
        (notification,) = user.choose(action)

    assert START in notification.body


# --- the desktop ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["overview", "apps", "key"])
def test_dashboard_is_opened_through_a_private_file(user: User, running: DaemonProcess, section: Any) -> None:
    """The address contains a ticket, so it must not appear on a command line."""
    assert [] == user.choose(OpenDashboard(section))

    (address,) = user.opener.pages
    assert f".upstash-helper.localhost:{running.port}/#ticket=uht_" in address
    assert (section != "overview") == (f"section={section}" in address)
    assert [address] == user.opener.private
    assert [True] == [bool(fallback) for fallback in user.opener.fallbacks]


def test_dashboard_without_a_browser_shows_a_command(user: User) -> None:
    """Its address is a secret, so it is not in the notification."""
    user.opener.opens = False

    (notification,) = user.choose(OpenDashboard())

    assert "open --print" in notification.body
    assert "ticket" not in notification.body


def test_log_folder_is_opened(user: User) -> None:
    """Without a file manager its path is shown."""
    opened = user.choose(ShowLog())
    user.opener.opens = False
    (notification,) = user.choose(ShowLog())

    assert ([], [user.folders.logs] * 2) == (opened, user.opener.folders)
    assert str(user.folders.logs) in notification.body


def test_missing_log_folder_is_explained(tmp_path: Path) -> None:
    """A daemon that was never started has written no log."""
    folders = locate(environ={"UPSTASH_HELPER_HOME": str(tmp_path / "home")})[1]
    with User.of(folders, tmp_path) as user:
        (notification,) = user.choose(ShowLog())

    assert "There is no log yet" == notification.title


def test_about_shows_the_versions(user: User, running: DaemonProcess) -> None:
    """If notifications cannot be seen, the dashboard opens at its settings, which show the versions too."""
    (seen,) = user.choose(ShowAbout())
    before = list(user.opener.pages)
    user.sees_notifications = False
    user.choose(ShowAbout())

    assert f"helper {running.client.status().version}" in seen.body
    assert ([], 1) == (before, len(user.opener.pages))


def test_start_at_login_is_set_and_shown(user: User) -> None:
    """If it cannot be changed, the actual setting is shown."""
    on = user.choose(StartAtLogin(enabled=True))
    shown_on = user.recorded.now.starts_at_login
    off = user.choose(StartAtLogin(enabled=False))
    shown_off = user.recorded.now.starts_at_login
    user.autostart.file.parent.rmdir()
    user.autostart.file.parent.write_text("a file where the folder should be")
    (failed,) = user.choose(StartAtLogin(enabled=True))

    assert ([], True, [], False) == (on, shown_on, off, shown_off)
    assert ("Starting at login was not changed", False) == (failed.title, user.recorded.now.starts_at_login)


def test_quit_is_left_to_the_tray(user: User) -> None:
    """The dispatcher ignores it."""
    assert [] == user.choose(Quit())


def test_internal_error_is_reported_and_the_queue_continues(user: User, caplog: pytest.LogCaptureFixture) -> None:
    """The same action works afterwards."""
    user.opener.error = RuntimeError("a bug")
    (notification,) = user.choose(ShowLog())
    user.opener.error = None

    assert "Internal error" in notification.body
    assert [] == user.choose(ShowLog())
    assert "tray_action_failed" in caplog.text


def test_actions_run_on_a_worker_thread(user: User) -> None:
    """The thread that shows the menu is not blocked."""
    main = threading.current_thread().name
    user.choose(ShowLog())

    names = {thread.name for thread in threading.enumerate()}
    assert "tray-desktop" in names - {main}


# --- changes that are not saved yet -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Revoke, Deny, KeepAccount, StopDaemon])
def test_t65_change_that_is_not_saved_yet_is_announced(user: User, running: DaemonProcess, kind: type[Action]) -> None:
    """The change takes effect, and a notification says that it could not be saved yet, and why."""
    app = SampleApp.approved(running, origin=PAGE)
    asked = SampleApp.requesting(running, origin="https://other.example.com")
    attempt = running.client.connect(open_browser=False)
    assert isinstance(attempt, wire.StartedAttempt)
    actions: dict[type[Action], Action] = {
        KeepAccount: KeepAccount(attempt.attempt_id),
        Revoke: Revoke(app_id=app.app_id, name="Orders"),
        Deny: Deny(asked.id),
        StopDaemon: StopDaemon(),
    }

    with locked(running.folders.ledger_file):
        (notification,) = user.choose(actions[kind])

    assert "Not saved yet" == notification.title
    assert "in use by another program" in notification.body
