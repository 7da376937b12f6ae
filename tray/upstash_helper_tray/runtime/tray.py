"""The tray as a whole: wires the follower, the state, the screen, the notifications, and the dispatcher."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from upstash_helper.client.daemon import START_COMMAND, TrayInfo
from upstash_helper.service.autostart import autostart_here
from upstash_helper.settings.profiles import DEFAULT_PROFILE
from upstash_helper_tray.dispatch.clipboard import Clipboard
from upstash_helper_tray.dispatch.dispatcher import Dispatcher
from upstash_helper_tray.dispatch.opener import SystemOpener
from upstash_helper_tray.dispatch.worker_queues import WorkerQueues
from upstash_helper_tray.menu.actions import OpenDashboard, Quit
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.guard import ChoiceGuard
from upstash_helper_tray.presentation.notifications import Notification, NotificationTracker
from upstash_helper_tray.presentation.status import icon_status, tooltip_for
from upstash_helper_tray.runtime.signals import end_on_signals
from upstash_helper_tray.sync.follow import Follower
from upstash_helper_tray.sync.state import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.client.events import Event
    from upstash_helper.service.autostart import Autostart
    from upstash_helper.settings.profiles import Folders
    from upstash_helper_tray.backends.screen import Screen
    from upstash_helper_tray.dispatch.opener import Opener
    from upstash_helper_tray.menu.actions import Action
    from upstash_helper_tray.menu.entries import Menu
    from upstash_helper_tray.sync.state import TrayState

logger = logging.getLogger(__name__)

_TOO_EARLY = Notification(
    "Your choice was ignored", "The menu had just opened or changed. Open it again, check it, and then choose."
)


class Tray:
    """An icon that shows the state of one profile's daemon and carries out what the user chooses."""

    def __init__(
        self,
        screen: Screen,
        *,
        profile: str,
        folders: Folders,
        notifications: bool = True,
        autostart: Autostart | None = None,
        clipboard: Clipboard | None = None,
        opener: Opener | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            screen: Shows the icon.
            profile: The profile of the daemon.
            folders: The profile's folders.
            notifications: Whether to show notifications that the user has not asked for.
            autostart: Starts the tray at login; by default this system's mechanism.
            clipboard: For credentials; by default the system's.
            opener: Opens pages and folders; by default with the system's programs.
            clock: The time in seconds, which never goes back.
        """
        self._screen = screen
        self._notifications = notifications
        self._autostart = autostart or autostart_here(profile)
        self._clipboard = clipboard or Clipboard()
        self._tracker = NotificationTracker()
        self._guard = ChoiceGuard(clock=clock)
        self._menu: Menu = ()
        # Queued, so that a desktop that is slow to show a notification does not block the icon.
        self._notification_queue: WorkerQueues[Notification] = WorkerQueues(self._show_notification)
        self._store = StateStore(self._state_changed)
        start_command = START_COMMAND if profile == DEFAULT_PROFILE else f"upstash-helper --profile {profile} start"
        self._follower = Follower(
            self._store,
            runtime=folders.runtime,
            state=folders.state,
            introduction=self._introduction,
            start_command=start_command,
        )
        self._dispatcher = Dispatcher(
            store=self._store,
            follower=self._follower,
            profile=profile,
            folders=folders,
            clipboard=self._clipboard,
            autostart=self._autostart,
            opener=opener or SystemOpener(),
            notify=self._notify,
            start_command=start_command,
        )
        self._started = False
        self._quitting = False

    def run(self) -> None:
        """
        Show the icon until the user or a signal ends it. To be called once, on the main thread.

        Raises:
            TrayUnavailable: If the icon cannot be shown, or no longer.
        """
        with end_on_signals(self._quit, clean_up=self._clipboard.clear):
            self.show()

    def show(self) -> None:
        """
        Like ``run``, but without handling signals, and on any thread that the screen supports.

        Raises:
            TrayUnavailable: Like ``run``.
        """
        try:
            self._screen.run(ready=self._start, chosen=self.choose, clicked=OpenDashboard(), opened=self._guard.restart)
        finally:
            self._stop()

    def choose(self, action: Action) -> None:
        """Carry out an action, unless the menu has just opened or changed. Returns immediately."""
        if isinstance(action, Quit):
            self._quit()
        elif not self._guard.accepts(action):
            self._notify(_TOO_EARLY)
        else:
            self._dispatcher.dispatch(action)

    def _start(self) -> None:
        if self._quitting:
            self._screen.close()  # the signal came before there was an icon to close
        if self._started:
            return  # the panel has come back
        self._started = True
        starts_at_login = self._autostart.state()
        self._store.update(lambda state: replace(state, starts_at_login=starts_at_login))
        self._show(self._store.current)
        self._follower.start()

    def _quit(self) -> None:
        self._quitting = True
        self._screen.close()

    def _stop(self) -> None:
        self._dispatcher.stop()
        self._follower.stop()
        self._clipboard.clear()
        self._notification_queue.stop()

    def _introduction(self) -> TrayInfo:
        return TrayInfo(backend=self._screen.backend, notifies=self._screen.notifies and self._notifications)

    def _state_changed(self, _before: TrayState, after: TrayState, event: Event | None) -> None:
        # An error while showing the state must not end the follower's thread.
        try:
            self._show(after)
            for notification in self._tracker.update(after, event):
                if self._notifications:
                    self._notify(notification)
        except Exception:
            logger.exception("tray_show_failed")

    def _show(self, state: TrayState) -> None:
        menu = menu_for(state)
        if menu != self._menu:
            self._menu = menu
            self._guard.restart()
        self._screen.show(icon_status(state), tooltip_for(state), menu)

    def _notify(self, notification: Notification) -> bool:
        if not self._screen.notifies:
            logger.info("tray_cannot_notify", extra={"title": notification.title})
            return False
        self._notification_queue.put("notifications", notification)
        return True

    def _show_notification(self, notification: Notification) -> None:
        with contextlib.suppress(Exception):  # a failed notification must not end the worker thread
            self._screen.notify(notification.title, notification.body)
