"""The tray as a whole: what is known, what is shown, what is told, and what is done."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from upstash_helper.client.daemon import START_COMMAND
from upstash_helper.client.daemon import Tray as Introduction
from upstash_helper.service.autostart import autostart_here
from upstash_helper.settings.profiles import DEFAULT_PROFILE
from upstash_helper_tray.actions import OpenDashboard, Quit
from upstash_helper_tray.clipboard import Clipboard
from upstash_helper_tray.dispatch import Performer
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.notifications import Herald, Notice
from upstash_helper_tray.opener import SystemOpener
from upstash_helper_tray.signals import ending_on_signals
from upstash_helper_tray.state import Views
from upstash_helper_tray.status import sign_of, tooltip_for
from upstash_helper_tray.sync.follow import Follower
from upstash_helper_tray.worker_queues import Lanes

if TYPE_CHECKING:
    from upstash_helper.client.events import Event
    from upstash_helper.service.autostart import Autostart
    from upstash_helper.settings.profiles import Folders
    from upstash_helper_tray.actions import Action
    from upstash_helper_tray.opener import Opener
    from upstash_helper_tray.screen import Screen
    from upstash_helper_tray.state import View

logger = logging.getLogger(__name__)


class Tray:
    """An icon that shows what the daemon of one profile says, and passes on what the user wants of it."""

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
    ) -> None:
        """
        Args:
            screen: Shows the icon.
            profile: Whose daemon.
            folders: The profile's.
            notifications: Whether the user wants to be told what was not asked for.
            autostart: Whether the tray starts at login; by default as this system has it.
            clipboard: For credentials; by default the system's.
            opener: Opens pages and folders; by default as the system does.
        """
        self._screen = screen
        self._notifications = notifications
        self._autostart = autostart or autostart_here(profile)
        self._clipboard = clipboard or Clipboard()
        self._herald = Herald()
        # A desktop that is slow to show a notification does not hold up the icon.
        self._notices: Lanes[Notice] = Lanes(self._notify)
        self._views = Views(self._shown)
        start_command = START_COMMAND if profile == DEFAULT_PROFILE else f"upstash-helper --profile {profile} start"
        self._follower = Follower(
            self._views,
            runtime=folders.runtime,
            state=folders.state,
            introduction=self._introduction,
            start_command=start_command,
        )
        self._performer = Performer(
            views=self._views,
            follower=self._follower,
            profile=profile,
            folders=folders,
            clipboard=self._clipboard,
            autostart=self._autostart,
            opener=opener or SystemOpener(),
            tell=self._tell,
            start_command=start_command,
        )
        self._begun = False
        self._leaving = False

    def run(self) -> None:
        """
        Show the icon until the user or a signal ends it. To be called on the main thread, once.

        Raises:
            NoTray: If no icon can be shown, or it no longer can.
        """
        with ending_on_signals(self._leave):
            self.show()

    def show(self) -> None:
        """
        Do as ``run``, on any thread on which the screen can be, and leave signals alone.

        Raises:
            NoTray: As ``run``.
        """
        try:
            self._screen.run(ready=self._begin, chosen=self.choose, opened=OpenDashboard())
        finally:
            self._end()

    def choose(self, action: Action) -> None:
        """Do what the user chose. Returns at once."""
        if isinstance(action, Quit):
            self._leave()
        else:
            self._performer.do(action)

    def _begin(self) -> None:
        if self._leaving:
            self._screen.close()  # the signal came before there was something to close
        if self._begun:
            return  # the panel was gone for a while
        self._begun = True
        starts_at_login = self._autostart.state()
        self._views.change(lambda view: replace(view, starts_at_login=starts_at_login))
        self._show(self._views.current)
        self._follower.start()

    def _leave(self) -> None:
        self._leaving = True
        self._screen.close()

    def _end(self) -> None:
        self._performer.stop()
        self._follower.stop()
        self._clipboard.clear()
        self._notices.stop()

    def _introduction(self) -> Introduction:
        return Introduction(backend=self._screen.backend, notifies=self._screen.notifies and self._notifications)

    def _shown(self, _before: View, after: View, event: Event | None) -> None:
        # What cannot be shown must not end the thread that keeps the view.
        try:
            self._show(after)
            for notice in self._herald.news(after, event):
                if self._notifications:
                    self._tell(notice)
        except Exception:
            logger.exception("tray_show_failed")

    def _show(self, view: View) -> None:
        self._screen.show(sign_of(view), tooltip_for(view), menu_for(view))

    def _tell(self, notice: Notice) -> bool:
        if not self._screen.notifies:
            logger.info("tray_cannot_notify", extra={"title": notice.title})
            return False
        self._notices.put("notices", notice)
        return True

    def _notify(self, notice: Notice) -> None:
        with contextlib.suppress(Exception):  # a notification is never worth more than what it tells of
            self._screen.notify(notice.title, notice.body)
