"""What the user chooses is done, and told where no menu shows it: with a real daemon, far side and clipboard."""

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
from urllib.request import url2pathname

import pytest

from tests.support.app_side import AppSide
from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, clean_environment, free_port
from tests.support.recorded_follower import RecordedFollower
from tests.support.until import until
from upstash_helper.protocol import wire
from upstash_helper.service.autostart import DesktopAutostart
from upstash_helper.settings.profiles import Folders, locate
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
    sys.platform == "win32", reason="platform: a program that is taken for the browser is a shell's script"
)
START = "upstash-helper --profile mine start"


class Shown:
    """The ``Opener`` port, for a user who is not there: it remembers what it was asked to open."""

    def __init__(self, *, opens: bool = True) -> None:
        self.pages: list[str] = []
        self.folders: list[Path] = []
        self.opens = opens

    def page(self, address: str) -> bool:
        """Note an address."""
        self.pages.append(address)
        return self.opens

    def folder(self, path: Path) -> bool:
        """Note a folder."""
        self.folders.append(path)
        return self.opens


@dataclass
class Hand:
    """A user before the tray's menu."""

    watched: RecordedFollower
    folders: Folders
    environ: dict[str, str]
    autostart: DesktopAutostart
    shown: Shown = field(default_factory=Shown)
    told: list[Notification] = field(default_factory=list)
    sees: bool = True
    """Whether notifications can be seen."""

    def __post_init__(self) -> None:
        self.clipboard = Clipboard(environ=self.environ)
        self.performer = Dispatcher(
            views=self.watched.views,
            follower=self.watched.follower,
            profile="default",
            folders=self.folders,
            clipboard=self.clipboard,
            autostart=self.autostart,
            opener=self.shown,
            tell=self._tell,
            start_command=START,
        )

    @classmethod
    @contextlib.contextmanager
    def before(cls, folders: Folders, tmp_path: Path, environ: dict[str, str] | None = None) -> Iterator[Hand]:
        """Follow the daemon with these folders, and choose."""
        autostart = DesktopAutostart(tmp_path / "autostart", "tray", [sys.executable, "-c", "pass"])
        with RecordedFollower.following(folders.runtime) as watched:
            hand = cls(watched, folders, environ or {}, autostart)
            try:
                yield hand
            finally:
                hand.performer.stop()
                hand.clipboard.clear()

    def choose(self, action: Action) -> None:
        """Choose something."""
        self.performer.do(action)

    def does(self, action: Action) -> list[Notification]:
        """Choose something, wait until it is done, and return what was told about it."""
        before = len(self.told)
        self.choose(action)
        until(lambda: action not in self.performer._lanes._pending, seconds=60)
        return self.told[before:]

    def _tell(self, notice: Notification) -> bool:
        self.told.append(notice)
        return self.sees


@pytest.fixture
def hand(running: DaemonProcess, tmp_path: Path) -> Iterator[Hand]:
    """A user of a daemon that runs."""
    with Hand.before(running.folders, tmp_path) as hand:
        until(lambda: hand.watched.now.connection)
        yield hand


# --- apps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("once", [False, True])
def test_an_app_that_is_approved_gets_its_token(hand: Hand, running: DaemonProcess, *, once: bool) -> None:
    """With all that it wished for; the menu shows it, so nothing is told."""
    app = AppSide.asks(running, "connection:read", "databases:read", origin=PAGE)

    told = hand.does(Approve(app.id, once=once))
    token = app.fetch()

    assert [] == told
    assert (200, ["connection:read", "databases:read"]) == (token.status, token.json["scopes"])
    assert once == (token.json["expires_at"] is not None)


def test_an_app_that_is_denied_gets_none(hand: Hand, running: DaemonProcess) -> None:
    """And no longer waits."""
    app = AppSide.asks(running, origin=PAGE)

    assert [] == hand.does(Deny(app.id))
    assert ("denied", 403) == (app.state, app.fetch().status)


def test_an_app_that_is_blocked_does_not_ask_again(hand: Hand, running: DaemonProcess) -> None:
    """Not even after a while."""
    app = AppSide.asks(running, origin=PAGE)

    assert [] == hand.does(Block(app.id))
    assert "app_blocked" == app.send("POST", "/v1/pairings", {"name": "x", "scopes": ["connection:read"]}).code


def test_an_app_that_is_revoked_is_out(hand: Hand, running: DaemonProcess) -> None:
    """At once; revoking one that is gone is what was wanted."""
    app = AppSide.let_in(running, origin=PAGE)
    revoke = Revoke(app_id=app.app_id, name="Orders")

    assert [] == hand.does(revoke)
    assert 403 == app.call("GET", "/v1/connection").status
    assert [] == hand.does(revoke)


@pytest.mark.parametrize("late", ["denied", "gone"])
def test_a_late_yes_is_told(hand: Hand, running: DaemonProcess, late: str) -> None:
    """The menu was open while it was decided elsewhere."""
    app = AppSide.asks(running, origin=PAGE)
    running.client.deny(app.id)

    (notice,) = hand.does(Approve(app.id if late == "denied" else "0" * 16))

    assert "The request no longer waits" == notice.title
    assert () == hand.watched.now.pairings
    assert notice.body.endswith((".", "list"))


async def test_a_yes_does_not_wait_for_a_copy(
    hand: Hand, connected: str, running: DaemonProcess, far_side: Sandbox
) -> None:
    """Although Upstash does not answer."""
    app = AppSide.asks(running, origin=PAGE)
    await far_side.fault(path="/v2/redis/database/*", latency=60)
    copy = CopyCredentials("some-id", "orders", "rest")
    hand.choose(copy)

    hand.does(Approve(app.id))

    assert 200 == app.fetch().status
    assert copy in hand.performer._lanes._pending


# --- the account ------------------------------------------------------------------------------------------------------


@a_browser_is_a_script
def test_a_sign_in_opens_the_browser(hand: Hand, running: DaemonProcess) -> None:
    """By the daemon; who has closed the page gets it from the tray; and it can be given up."""
    first = hand.does(Connect())
    attempt = running.client.connection().attempt
    assert attempt is not None
    by_the_daemon = list(hand.shown.pages)
    second = hand.does(Connect())
    given_up = hand.does(CancelConnect(attempt.attempt_id))

    assert ([], [], []) == (first, second, given_up)
    assert [] == by_the_daemon
    assert ["/authorize"] == [urlsplit(page).path for page in hand.shown.pages]
    assert "failed" == running.client.attempt(attempt.attempt_id).state
    assert [] == hand.does(CancelConnect("no-such-attempt"))


@a_browser_is_a_script
def test_a_sign_in_without_a_browser_tells_its_address(hand: Hand) -> None:
    """It holds no secret."""
    hand.does(Connect())
    hand.shown.opens = False

    (notice,) = hand.does(Connect())

    assert hand.shown.pages[0] in notice.body


@a_browser_is_a_script
def test_an_account_that_is_connected_is_told(hand: Hand, connected: str, running: DaemonProcess) -> None:
    """No browser opens, unless another one is wanted."""
    (notice,) = hand.does(Connect())
    again = hand.does(Connect(again=True))

    assert connected in notice.body
    assert [] == again
    attempt = running.client.connection().attempt
    assert attempt is not None
    assert "pending" == attempt.state


def test_a_disconnect_tells_what_is_left_to_do(hand: Hand, connected: str, running: DaemonProcess) -> None:
    """In the daemon's words."""
    (notice,) = hand.does(Disconnect())

    assert "The account is disconnected." == notice.body
    assert "disconnected" == running.client.connection().state


def test_a_sign_in_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Such as that no client id is configured."""
    with DaemonProcess.running(tmp_path / "home") as daemon, Hand.before(daemon.folders, tmp_path) as hand:
        (notice,) = hand.does(Connect())

    assert "The sign-in did not start" == notice.title
    assert "client id" in notice.body


# --- databases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["redis_url", "rest", "dotenv"])
def test_credentials_are_copied(
    running: DaemonProcess, connected: str, desk: Desk, tmp_path: Path, form: Literal["redis_url", "rest", "dotenv"]
) -> None:
    """As they are needed, and told without being shown."""
    new = wire.CreateDatabase(name="orders", primary_region="us-east-1")
    made = running.client.create_database(new, idempotency_key="one")
    credentials = running.client.credentials(made.id)
    url, token, redis = credentials.rest_url, credentials.rest_token, credentials.redis_url
    rest = f'UPSTASH_REDIS_REST_URL="{url}"\nUPSTASH_REDIS_REST_TOKEN="{token}"'
    expected = {"redis_url": redis, "rest": rest, "dotenv": f'{rest}\nREDIS_URL="{redis}"'}

    with Hand.before(running.folders, tmp_path, desk.environ) as hand:
        (notice,) = hand.does(CopyCredentials(made.id, "orders", form))

        assert expected[form] == desk.paste()
    assert ("of orders", "in 60 s.") == (notice.title[-9:], notice.body[-8:])
    assert credentials.password not in notice.title + notice.body
    assert credentials.rest_token not in notice.title + notice.body
    assert "" == desk.paste()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: elsewhere there always is a clipboard")
def test_a_copy_that_fails_says_why(hand: Hand, connected: str, running: DaemonProcess) -> None:
    """The database is gone, or there is no clipboard."""
    new = wire.CreateDatabase(name="orders", primary_region="us-east-1")
    made = running.client.create_database(new, idempotency_key="one")

    (gone,) = hand.does(CopyCredentials("no-such-database", "orders", "rest"))
    (nowhere,) = hand.does(CopyCredentials(made.id, "orders", "rest"))

    assert ("Nothing was copied", "Nothing was copied") == (gone.title, nowhere.title)
    assert "database" in gone.body
    assert "no clipboard" in nowhere.body


async def test_databases_are_read_anew(hand: Hand, connected: str, far_side: Sandbox) -> None:
    """When the user asks for it."""
    until(lambda: hand.watched.now.databases is not None)
    await far_side.fault(path="/v2/redis/databases", status=503, times=None)

    hand.does(RefreshDatabases())

    until(lambda: hand.watched.now.databases_error)
    assert () == hand.watched.now.databases


def test_the_console_is_opened(hand: Hand) -> None:
    """At the database's page; or its address is told."""
    console = OpenConsole("https://console.upstash.com/redis/1")
    opened = hand.does(console)
    hand.shown.opens = False
    (told,) = hand.does(console)

    assert ([], ["https://console.upstash.com/redis/1"] * 2) == (opened, hand.shown.pages)
    assert "https://console.upstash.com/redis/1" in told.body


# --- the daemon -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The folders of a user whose daemon does not run; it is stopped at the end."""
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


async def test_the_daemon_is_started_and_stopped(home: Path, tmp_path: Path) -> None:
    """The icon shows that it starts; it goes on when the tray ends."""
    folders = configured(home, free_port())
    with Hand.before(folders, tmp_path) as hand:
        told = hand.does(StartDaemon())
        until(lambda: hand.watched.now.daemon == "running")
        started = [view.daemon for view in hand.watched.seen if view.daemon != "absent"]
        told += hand.does(StopDaemon())
        until(lambda: hand.watched.now.daemon == "absent")
        told += hand.does(StopDaemon())

    assert [] == told
    assert "starting" == started[0]
    assert "" == hand.watched.now.error_text


async def test_a_daemon_that_cannot_start_says_why(home: Path, tmp_path: Path) -> None:
    """In a notification, and in the menu as long as it is so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Hand.before(configured(home, port), tmp_path) as hand:
            (notice,) = hand.does(StartDaemon())
            until(lambda: hand.watched.now.daemon == "absent")

    assert "The helper did not start" == notice.title
    assert str(port) in notice.body
    assert notice.body == hand.watched.now.error_text


@pytest.mark.parametrize(
    "action", [OpenDashboard(), Connect(), CopyCredentials("id", "orders", "rest"), Approve("id"), Revoke("id", "x")]
)
def test_without_a_daemon_it_is_said_how_to_start_it(tmp_path: Path, action: Action) -> None:
    """Whatever was chosen from a menu that was open when it went."""
    folders = locate(environ={"UPSTASH_HELPER_HOME": str(tmp_path / "home")})[1]
    with Hand.before(folders, tmp_path) as hand:
        (notice,) = hand.does(action)

    assert START in notice.body


# --- the machine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["overview", "apps"])
def test_the_dashboard_is_opened(hand: Hand, running: DaemonProcess, section: Any) -> None:
    """By a file that the user alone can read: no address with a ticket is on a command line."""
    assert [] == hand.does(OpenDashboard(section))

    (address,) = hand.shown.pages
    page = Path(url2pathname(urlsplit(address).path)).read_text()
    assert "file" == urlsplit(address).scheme
    assert f"http://localhost:{running.port}/#ticket=uht_" in page
    assert (section == "apps") == ("section=apps" in page)


def test_without_a_browser_the_dashboard_is_a_command(hand: Hand) -> None:
    """Its address is not told: it is a secret."""
    hand.shown.opens = False

    (notice,) = hand.does(OpenDashboard())

    assert "open --print" in notice.body
    assert "ticket" not in notice.body


def test_the_log_is_shown(hand: Hand, tmp_path: Path) -> None:
    """Or its folder is named."""
    opened = hand.does(ShowLog())
    hand.shown.opens = False
    (closed,) = hand.does(ShowLog())
    hand.performer._folders = locate(environ={"UPSTASH_HELPER_HOME": str(tmp_path / "none")})[1]
    (missing,) = hand.does(ShowLog())

    assert ([], [hand.folders.logs] * 2) == (opened, hand.shown.folders)
    assert str(hand.folders.logs) in closed.body
    assert "There is no log yet" == missing.title


def test_the_versions_are_told(hand: Hand, running: DaemonProcess) -> None:
    """Where no notification can be seen, the dashboard's settings have them."""
    (seen,) = hand.does(ShowAbout())
    before = list(hand.shown.pages)
    hand.sees = False
    hand.does(ShowAbout())

    assert f"helper {running.client.status().version}" in seen.body
    assert ([], 1) == (before, len(hand.shown.pages))


def test_starting_at_login_is_set(hand: Hand) -> None:
    """And shown as it is, also where it could not be set."""
    on = hand.does(StartAtLogin(wanted=True))
    shown_on = hand.watched.now.starts_at_login
    off = hand.does(StartAtLogin(wanted=False))
    shown_off = hand.watched.now.starts_at_login
    hand.autostart.file.parent.rmdir()
    hand.autostart.file.parent.write_text("a file where the folder should be")
    (failed,) = hand.does(StartAtLogin(wanted=True))

    assert ([], True, [], False) == (on, shown_on, off, shown_off)
    assert ("Starting at login was not changed", False) == (failed.title, hand.watched.now.starts_at_login)


def test_quitting_is_not_its_business(hand: Hand) -> None:
    """Whoever runs the tray ends it."""
    assert [] == hand.does(Quit())


def test_a_mistake_of_ours_is_told_and_ends_nothing(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    """The next choice is done all the same."""
    hand.performer._folders = None  # type: ignore[assignment]
    (notice,) = hand.does(ShowLog())
    hand.performer._folders = hand.folders

    assert "log says more" in notice.body
    assert [] == hand.does(ShowLog())
    assert "tray_action_failed" in caplog.text


def test_choosing_returns_at_once(hand: Hand) -> None:
    """The menu is not kept open by what it began: the work is done on another thread."""
    main = threading.current_thread().name
    hand.does(ShowLog())

    names = {thread.name for thread in threading.enumerate()}
    assert "tray-desk" in names - {main}
