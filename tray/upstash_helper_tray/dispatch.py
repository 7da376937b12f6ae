"""Doing what the user chose, away from the thread that shows the menu."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.client.daemon import START_COMMAND, DaemonClient
from upstash_helper.client.dashboard_link import leave_page
from upstash_helper.client.dotenv import NotExpressible, env_lines
from upstash_helper.client.errors import ApiProblem, DaemonUnreachable
from upstash_helper.protocol.errors import ClientError
from upstash_helper.protocol.wire import Connection, DatabaseCredentials
from upstash_helper_tray import actions
from upstash_helper_tray import state as fold
from upstash_helper_tray.actions import Approve, Block, CopyCredentials, Deny
from upstash_helper_tray.clipboard import ClipboardUnavailable
from upstash_helper_tray.notifications import Notice
from upstash_helper_tray.start_daemon import StartFailed, start_daemon
from upstash_helper_tray.text import short
from upstash_helper_tray.worker_queues import Lanes

if TYPE_CHECKING:
    from upstash_helper.service.autostart import Autostart
    from upstash_helper.settings.profiles import Folders
    from upstash_helper_tray.actions import Action
    from upstash_helper_tray.clipboard import Clipboard
    from upstash_helper_tray.opener import Opener
    from upstash_helper_tray.state import Views
    from upstash_helper_tray.sync.follow import Follower

Decision = Approve | Deny | Block

# Not found, decided already, and expired or withdrawn.
_NO_LONGER_WAITS: Final = frozenset({404, 409, 410})
_REST: Final = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")


def decide(client: DaemonClient, decision: Decision) -> Notice | None:
    """Let an app in, or not. The menu shows that it was done; what is told is that nothing waited any longer."""
    try:
        match decision:
            case Approve(pairing_id=pairing, once=once):
                client.approve(pairing, once=once)
            case Deny(pairing_id=pairing):
                client.deny(pairing)
            case Block(pairing_id=pairing):
                client.block(pairing)
    except ApiProblem as error:
        if error.status in _NO_LONGER_WAITS:
            return Notice("The request no longer waits", error.detail)
        raise
    return None


def revoke(client: DaemonClient, app_id: str) -> None:
    """Let an app in no longer; one that is not let in is revoked."""
    try:
        client.revoke_app(app_id)
    except ApiProblem as error:
        if error.status != 404:
            raise


def connect(client: DaemonClient, opener: Opener, *, again: bool) -> Notice | None:
    """Sign in. The daemon opens the browser; where it cannot, having no display for instance, the tray does."""
    answer = client.connect(open_browser=True, force=again)
    if isinstance(answer, Connection):
        email = answer.account.email if answer.account else "your account"
        return Notice("Connected to Upstash", f"{email} is connected already.")
    # Of a sign-in that runs already, the user may have closed the page.
    if answer.browser_opened or opener.page(answer.authorization_url):
        return None
    return Notice("Sign in to Upstash", f"No browser could be opened. Open this address: {answer.authorization_url}")


def cancel(client: DaemonClient, attempt_id: str) -> None:
    """Give up a sign-in; one that is over is given up."""
    try:
        client.cancel_attempt(attempt_id)
    except ApiProblem as error:
        if error.status != 404:
            raise


def disconnect(client: DaemonClient) -> Notice:
    """Forget the account."""
    return Notice("Disconnected from Upstash", client.disconnect().detail)


def text_of(credentials: DatabaseCredentials, form: str) -> tuple[str, str]:
    """
    Return what goes on the clipboard, and what that is called.

    Raises:
        NotExpressible: If a value cannot stand in a line.
    """
    if form == "redis_url":
        return credentials.redis_url, "Redis URL"
    if form == "rest":
        return env_lines({name: credentials.env[name] for name in _REST}, "dotenv"), "REST URL and token"
    return env_lines(credentials.env, "dotenv"), ".env lines"


def copied(action: CopyCredentials, what: str, seconds: float) -> Notice:
    """Return what is told after a copy: never the secret itself."""
    return Notice(f"Copied: {what} of {short(action.name)}", f"The clipboard is cleared in {seconds:.0f} s.")


logger = logging.getLogger(__name__)

Tell = Callable[[Notice], bool]
"""Shows a notification, on any thread. Returns whether the user can see it."""

_OfTheTray = actions.RefreshDatabases | actions.StartAtLogin | actions.ShowLog | actions.ShowAbout | actions.Quit
_OnThisMachine = actions.StartDaemon | actions.StopDaemon | actions.OpenDashboard | actions.OpenConsole | _OfTheTray

_LANES: Final[dict[type, str]] = {
    # A yes or no is never behind a call that asks Upstash, the keyring or the clipboard.
    actions.Approve: "decisions",
    actions.Deny: "decisions",
    actions.Block: "decisions",
    actions.Revoke: "decisions",
    actions.CancelConnect: "decisions",
    actions.Connect: "account",
    actions.Disconnect: "account",
    actions.CopyCredentials: "copies",
    actions.StartDaemon: "daemon",
    actions.StopDaemon: "daemon",
}
_OTHERS: Final = "desk"

_COULD_NOT: Final[dict[type, str]] = {
    actions.Approve: "The app was not let in",
    actions.Deny: "The request was not denied",
    actions.Block: "The app was not blocked",
    actions.Revoke: "The app is still let in",
    actions.Connect: "The sign-in did not start",
    actions.CancelConnect: "The sign-in was not given up",
    actions.Disconnect: "The account is still connected",
    actions.CopyCredentials: "Nothing was copied",
    actions.StartDaemon: "The helper did not start",
    actions.StopDaemon: "The helper was not stopped",
    actions.OpenDashboard: "The dashboard was not opened",
    actions.StartAtLogin: "Starting at login was not changed",
}


class Performer:
    """Does what was chosen, and tells the user how it ended where the menu does not show it."""

    def __init__(
        self,
        *,
        views: Views,
        follower: Follower,
        profile: str,
        folders: Folders,
        clipboard: Clipboard,
        autostart: Autostart,
        opener: Opener,
        tell: Tell,
        start_command: str = START_COMMAND,
    ) -> None:
        """
        Args:
            views: Where it is noted whether the tray starts at login.
            follower: Is told of a daemon that is started, and of databases to be read anew.
            profile: Whose daemon.
            folders: The profile's.
            clipboard: For credentials.
            autostart: Whether the tray starts at login.
            opener: Opens pages and folders.
            tell: Tells the user.
            start_command: What the user is told to run if the daemon is not there.
        """
        self._views = views
        self._follower = follower
        self._profile = profile
        self._folders = folders
        self._clipboard = clipboard
        self._autostart = autostart
        self._opener = opener
        self._tell = tell
        self._start_command = start_command
        self._lanes: Lanes[Action] = Lanes(self._attempt)

    def do(self, action: Action) -> None:
        """Have it done. Returns at once."""
        self._lanes.put(_LANES.get(type(action), _OTHERS), action)

    def stop(self) -> None:
        """Begin nothing more."""
        self._lanes.stop()

    def _attempt(self, action: Action) -> None:
        try:
            notice = self._perform(action)
        except (ClientError, ClipboardUnavailable, NotExpressible, StartFailed) as error:
            notice = Notice(_COULD_NOT.get(type(action), "That did not work"), str(error))
        except OSError as error:
            notice = Notice(_COULD_NOT.get(type(action), "That did not work"), f"{error.strerror or 'It failed'}.")
        except Exception:
            logger.exception("tray_action_failed", extra={"action": type(action).__name__})
            notice = Notice(_COULD_NOT.get(type(action), "That did not work"), "The tray's log says more.")
        if notice is not None:
            self._tell(notice)

    def _perform(self, action: Action) -> Notice | None:
        match action:
            case actions.Approve() | actions.Deny() | actions.Block():
                return self._decide(action)
            case actions.Revoke(app_id=app_id):
                revoke(self._client(), app_id)
            case actions.Connect(again=again):
                return connect(self._client(), self._opener, again=again)
            case actions.CancelConnect(attempt_id=attempt_id):
                cancel(self._client(), attempt_id)
            case actions.Disconnect():
                return disconnect(self._client())
            case actions.CopyCredentials():
                return self._copy(action)
            case _:
                return self._on_this_machine(action)
        return None

    def _on_this_machine(self, action: _OnThisMachine) -> Notice | None:
        match action:
            case actions.StartDaemon():
                self._start_daemon()
            case actions.StopDaemon():
                self._stop_daemon()
            case actions.OpenDashboard(section=section):
                return self._open_dashboard(section)
            case actions.OpenConsole(url=url):
                return None if self._opener.page(url) else Notice("No browser could be opened", f"The page is at {url}")
            case _:
                return self._of_the_tray(action)
        return None

    def _of_the_tray(self, action: _OfTheTray) -> Notice | None:
        match action:
            case actions.RefreshDatabases():
                self._follower.refresh_databases()
            case actions.StartAtLogin(wanted=wanted):
                self._start_at_login(wanted=wanted)
            case actions.ShowLog():
                return self._show_log()
            case actions.ShowAbout():
                return self._show_about()
            case actions.Quit():
                pass  # whoever runs the tray ends it
        return None

    def _start_at_login(self, *, wanted: bool) -> None:
        try:
            (self._autostart.enable if wanted else self._autostart.disable)()
        finally:
            state = self._autostart.state()
            self._views.change(lambda view: replace(view, starts_at_login=state))

    def _client(self) -> DaemonClient:
        # Made anew each time: a daemon that was started again has another token.
        runtime, state = self._folders.runtime, self._folders.state
        return DaemonClient.discover(runtime, state=state, start_command=self._start_command)

    def _decide(self, decision: Decision) -> Notice | None:
        notice = decide(self._client(), decision)
        if notice is not None:
            self._views.change(lambda view: fold.without_pairing(view, decision.pairing_id))
        return notice

    def _copy(self, action: actions.CopyCredentials) -> Notice:
        text, what = text_of(self._client().credentials(action.database_id), action.form)
        self._clipboard.put_secret(text)
        return copied(action, what, self._clipboard.clear_after)

    def _start_daemon(self) -> None:
        with self._follower.starting():
            start_daemon(self._profile)

    def _stop_daemon(self) -> None:
        try:
            DaemonClient.discover(self._folders.runtime, start_command=self._start_command).stop()
        except DaemonUnreachable as error:
            if error.sent:
                raise  # it may hang; one that is not there is stopped

    def _open_dashboard(self, section: actions.Section) -> Notice | None:
        url = self._client().open_dashboard().url
        page = leave_page(self._folders.runtime, url if section == "overview" else f"{url}&section={section}")
        if self._opener.page(page.resolve().as_uri()):
            return None
        return Notice("No browser could be opened", "Run in a terminal: upstash-helper open --print")

    def _show_log(self) -> Notice | None:
        folder = self._folders.logs
        if not folder.is_dir():
            return Notice("There is no log yet", f"It will be in {folder}.")
        return None if self._opener.folder(folder) else Notice("The log", f"It is in {folder}.")

    def _show_about(self) -> Notice | None:
        try:
            daemon = f"helper {self._client().status().version}"
        except ClientError:
            daemon = "the helper is not running"
        shown = self._tell(Notice("upstash-helper", f"Tray {__version__}, {daemon}."))
        return None if shown else self._open_dashboard("settings")
