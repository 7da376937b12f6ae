"""What several checks of ``doctor`` need: the settings, and the daemon's status. Each is fetched once."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from upstash_helper.settings.config import Profile, Settings, load_profile
from upstash_helper.settings.profiles import SettingsError

if TYPE_CHECKING:
    from upstash_helper.cli.session import Session
    from upstash_helper.protocol.errors import ClientError
    from upstash_helper.protocol.wire import DaemonStatus
    from upstash_helper.settings.profiles import Folders

ANSWER_SECONDS: Final = 5.0
"""Enough for the daemon, which answers from memory."""


def own_uid() -> int:
    """Return this user's id; -1 on Windows, which has no user ids."""
    if sys.platform == "win32":
        return -1
    return os.geteuid()


class DaemonAnswer(NamedTuple):
    """The daemon's status, or why there is none."""

    status: DaemonStatus | None
    error: ClientError | None = None
    running: bool = False
    """Whether a daemon holds the lock, even if it does not answer."""


class DoctorContext:
    """What the checks of one invocation share."""

    def __init__(self, session: Session) -> None:
        """
        Args:
            session: The command line's.

        Raises:
            SettingsError: If the profile's name is invalid.
        """
        self.session: Final = session
        self.folders: Final[Folders] = session.folders
        self.profile: Profile | None = None
        self.settings = Settings()
        """The defaults, if the settings cannot be read."""
        self.settings_error: SettingsError | None = None
        try:
            self.profile = load_profile(profile=session.profile_flag)
            self.settings = self.profile.settings
        except SettingsError as error:
            self.settings_error = error
        self._lock = threading.Lock()
        self._answer: DaemonAnswer | None = None

    def command(self, *arguments: str) -> str:
        """Return an upstash-helper command line for this profile, to show to the user."""
        return self.session.command(*arguments)

    def daemon(self) -> DaemonAnswer:
        """Return the daemon's answer. It is asked once."""
        with self._lock:
            if self._answer is None:
                self._answer = self._ask()
            return self._answer

    def address(self, setting: Literal["auth_url", "api_url"]) -> str:
        """
        Return an address of Upstash: the running daemon's, which may have been started with flags and variables that
        this command does not have; without a daemon, that of the settings.
        """
        status = self.daemon().status
        used = getattr(status, setting) if status is not None else None
        return used or str(getattr(self.settings, setting))

    def _ask(self) -> DaemonAnswer:
        from upstash_helper.client.daemon import DaemonClient
        from upstash_helper.protocol import discovery
        from upstash_helper.protocol.errors import ClientError

        runtime = self.folders.runtime
        try:
            client = DaemonClient.discover(runtime, timeout=ANSWER_SECONDS, start_command=self.command("start"))
            return DaemonAnswer(client.status(prompt=False), running=True)
        except ClientError as error:
            return DaemonAnswer(None, error, running=discovery.is_running(runtime))
