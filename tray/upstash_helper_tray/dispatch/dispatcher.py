"""Carrying out actions on worker threads, so that the thread that shows the menu never blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from upstash_helper import __version__
from upstash_helper.client.daemon import START_COMMAND, DaemonClient
from upstash_helper.client.dashboard_link import NAME
from upstash_helper.client.dotenv import NotExpressible
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.protocol.errors import ClientError
from upstash_helper_tray.dispatch import account
from upstash_helper_tray.dispatch.clipboard import ClipboardUnavailable
from upstash_helper_tray.dispatch.worker_queues import WorkerQueues
from upstash_helper_tray.menu import actions
from upstash_helper_tray.presentation.notifications import Notification
from upstash_helper_tray.sync.start_daemon import StartFailed, start_daemon
from upstash_helper_tray.sync.state import without_confirmation, without_pairing

if TYPE_CHECKING:
    from upstash_helper.service.autostart import Autostart
    from upstash_helper.settings.profiles import Folders
    from upstash_helper_tray.dispatch.clipboard import Clipboard
    from upstash_helper_tray.dispatch.opener import Opener
    from upstash_helper_tray.menu.actions import Action
    from upstash_helper_tray.sync.follow import Follower
    from upstash_helper_tray.sync.state import StateStore

logger = logging.getLogger(__name__)

Notify = Callable[[Notification], bool]
"""Shows a notification; callable on any thread. Returns whether the user can see it."""

_TrayAction = actions.RefreshDatabases | actions.StartAtLogin | actions.ShowLog | actions.ShowAbout | actions.Quit
_LocalAction = actions.StartDaemon | actions.StopDaemon | actions.OpenDashboard | actions.OpenConsole | _TrayAction

_QUEUES: Final[dict[type, str]] = {
    # A decision never waits behind a call to Upstash, the keyring, or the clipboard.
    actions.Approve: "decisions",
    actions.Deny: "decisions",
    actions.Block: "decisions",
    actions.AllowQuestion: "decisions",
    actions.DenyQuestion: "decisions",
    actions.Revoke: "decisions",
    actions.CancelConnect: "decisions",
    actions.ReplaceAccount: "decisions",
    actions.KeepAccount: "decisions",
    actions.Connect: "account",
    actions.Disconnect: "account",
    actions.CopyCredentials: "copies",
    actions.StartDaemon: "daemon",
    actions.StopDaemon: "daemon",
}
_DEFAULT_QUEUE: Final = "desktop"

_FAILURE_TITLES: Final[dict[type, str]] = {
    actions.Approve: "The request was not approved",
    actions.Deny: "The request was not denied",
    actions.Block: "The app was not blocked",
    actions.AllowQuestion: "The question was not answered",
    actions.DenyQuestion: "The question was not answered",
    actions.Revoke: "The app's access was not revoked",
    actions.Connect: "The sign-in did not start",
    actions.CancelConnect: "The sign-in was not canceled",
    actions.ReplaceAccount: "The account was not replaced",
    actions.KeepAccount: "The sign-in was not canceled",
    actions.Disconnect: "The account is still connected",
    actions.CopyCredentials: "Nothing was copied",
    actions.StartDaemon: "The helper did not start",
    actions.StopDaemon: "The helper was not stopped",
    actions.OpenDashboard: "The dashboard was not opened",
    actions.StartAtLogin: "Starting at login was not changed",
}
_DEFAULT_FAILURE_TITLE: Final = "That did not work"


class Dispatcher:
    """Carries out actions, and notifies the user of results that the menu does not show."""

    def __init__(
        self,
        *,
        store: StateStore,
        follower: Follower,
        profile: str,
        folders: Folders,
        clipboard: Clipboard,
        autostart: Autostart,
        opener: Opener,
        notify: Notify,
        start_command: str = START_COMMAND,
    ) -> None:
        """
        Args:
            store: Updated with what an action changed.
            follower: Informed when the daemon is being started, and when databases have to be read again.
            profile: The profile of the daemon.
            folders: The profile's folders.
            clipboard: For credentials.
            autostart: Starts the tray at login.
            opener: Opens pages and folders.
            notify: Shows a notification.
            start_command: Command that the user is told to run if the daemon is not running.
        """
        self._store = store
        self._follower = follower
        self._profile = profile
        self._folders = folders
        self._clipboard = clipboard
        self._autostart = autostart
        self._opener = opener
        self._notify = notify
        self._start_command = start_command
        self._queues: WorkerQueues[Action] = WorkerQueues(self._run)

    @property
    def pending(self) -> frozenset[Action]:
        """The actions that are queued or running."""
        return self._queues.pending

    def dispatch(self, action: Action) -> None:
        """Carry out an action. Returns immediately."""
        self._queues.put(_QUEUES.get(type(action), _DEFAULT_QUEUE), action)

    def stop(self) -> None:
        """Start no more actions."""
        self._queues.stop()

    def _run(self, action: Action) -> None:
        failure_title = _FAILURE_TITLES.get(type(action), _DEFAULT_FAILURE_TITLE)
        try:
            notification = self._perform(action)
        except (ClientError, ClipboardUnavailable, NotExpressible, StartFailed) as error:
            notification = Notification(failure_title, str(error))
        except OSError as error:
            notification = Notification(failure_title, f"{error.strerror or 'Unknown error'}.")
        except Exception:
            logger.exception("tray_action_failed", extra={"action": type(action).__name__})
            notification = Notification(failure_title, "Internal error. See the tray's log.")
        if notification is not None:
            self._notify(notification)

    def _perform(self, action: Action) -> Notification | None:  # noqa: PLR0911 - one line for each action
        match action:
            case (
                actions.Approve() | actions.Deny() | actions.Block() | actions.ReplaceAccount() | actions.KeepAccount()
            ):
                return self._decide(action)
            case actions.AllowQuestion() | actions.DenyQuestion():
                return self._answer(action)
            case actions.Revoke(app_id=app_id):
                return account.revoke(self._client(), app_id)
            case actions.Connect(force=force):
                return account.connect(self._client(), self._opener, self._folders.runtime, force=force)
            case actions.CancelConnect(attempt_id=attempt_id):
                return account.cancel(self._client(), attempt_id)
            case actions.Disconnect():
                return account.disconnect(self._client())
            case actions.CopyCredentials():
                return self._copy(action)
            case _:
                return self._perform_local(action)

    def _perform_local(self, action: _LocalAction) -> Notification | None:
        match action:
            case actions.StartDaemon():
                self._start_daemon()
            case actions.StopDaemon():
                return self._stop_daemon()
            case actions.OpenDashboard(section=section):
                return self._open_dashboard(section)
            case actions.OpenConsole(url=url):
                opened = self._opener.open_page(url)
                return None if opened else Notification("No browser could be opened", f"Open this address: {url}")
            case _:
                return self._perform_tray(action)
        return None

    def _perform_tray(self, action: _TrayAction) -> Notification | None:
        match action:
            case actions.RefreshDatabases():
                self._follower.refresh_databases()
            case actions.StartAtLogin(enabled=enabled):
                self._set_start_at_login(enabled=enabled)
            case actions.ShowLog():
                return self._show_log()
            case actions.ShowAbout():
                return self._show_about()
            case actions.Quit():
                pass  # handled by ``Tray``
        return None

    # --- calls to the daemon ------------------------------------------------------------------------------------------

    def _client(self) -> DaemonClient:
        # Discovered each time: a daemon that was restarted has another token.
        runtime, state = self._folders.runtime, self._folders.state
        return DaemonClient.discover(runtime, state=state, start_command=self._start_command)

    def _decide(self, decision: account.Decision | account.AccountDecision) -> Notification | None:
        if isinstance(decision, account.AccountDecision):
            return account.decide_replacement(self._client(), decision)
        decided = account.decide(self._client(), decision)
        if not decided.was_pending:
            self._store.update(lambda state: without_pairing(state, decision.pairing_id))
        return decided.notification

    def _answer(self, decision: account.QuestionDecision) -> Notification | None:
        decided = account.answer(self._client(), decision)
        if not decided.was_pending:
            self._store.update(lambda state: without_confirmation(state, decision.confirmation_id))
        return decided.notification

    def _copy(self, action: actions.CopyCredentials) -> Notification:
        text, what = account.clipboard_text(self._client().credentials(action.database_id), action.form)
        self._clipboard.put_secret(text)
        return account.copied(action, what, self._clipboard.clear_after)

    # --- the daemon's process -----------------------------------------------------------------------------------------

    def _start_daemon(self) -> None:
        with self._follower.starting():
            start_daemon(self._profile)

    def _stop_daemon(self) -> Notification | None:
        try:
            # Without a state folder: stopping must not wake a socket-activated daemon first.
            client = DaemonClient.discover(self._folders.runtime, start_command=self._start_command)
            return account.not_recorded(client.stop())
        except DaemonUnreachable as error:
            if error.sent:
                raise  # it may be hanging; otherwise it was not running, which is what the user wanted
            return None

    # --- the desktop --------------------------------------------------------------------------------------------------

    def _set_start_at_login(self, *, enabled: bool) -> None:
        try:
            (self._autostart.enable if enabled else self._autostart.disable)()
        finally:
            starts_at_login = self._autostart.state()
            self._store.update(lambda state: replace(state, starts_at_login=starts_at_login))

    def _open_dashboard(self, section: actions.Section) -> Notification | None:
        ticket = self._client().open_dashboard(link=True, section=section)
        shown = "" if section == "overview" else f"&section={section}"
        numeric = "" if ticket.numeric_url is None else ticket.numeric_url + shown
        if self._opener.open_privately(
            ticket.url + shown, link=ticket.link, folder=self._folders.runtime, name=NAME, fallback=numeric
        ):
            return account.not_recorded(ticket)
        return Notification("No browser could be opened", "Run in a terminal: upstash-helper open --print")

    def _show_log(self) -> Notification | None:
        folder = self._folders.logs
        if not folder.is_dir():
            return Notification("There is no log yet", f"It will be in {folder}.")
        return None if self._opener.open_folder(folder) else Notification("Log folder", f"The logs are in {folder}.")

    def _show_about(self) -> Notification | None:
        try:
            daemon = f"helper {self._client().status().version}"
        except ClientError:
            daemon = "the helper is not running"
        visible = self._notify(Notification("upstash-helper", f"Tray {__version__}, {daemon}."))
        return None if visible else self._open_dashboard("settings")
