"""What several checks of ``doctor`` go by: the settings, and the daemon's answer. Each is had once, by whoever asks."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.settings.config import Profile, Settings, load_profile
from upstash_helper.settings.profiles import SettingsError

if TYPE_CHECKING:
    from upstash_helper.cli.session import Session
    from upstash_helper.protocol.errors import ClientError
    from upstash_helper.protocol.wire import DaemonStatus
    from upstash_helper.settings.profiles import Folders

ANSWER_SECONDS: Final = 5.0
"""The daemon answers from memory."""


def own_uid() -> int:
    """Return this user's id; -1 on Windows, where users have no such numbers."""
    if sys.platform == "win32":
        return -1
    return os.geteuid()


class Answer(NamedTuple):
    """The daemon's answer, or why there is none."""

    status: DaemonStatus | None
    error: ClientError | None = None
    running: bool = False
    """Whether a daemon holds the lock, even if it does not answer."""


class DoctorContext:
    """One invocation's."""

    def __init__(self, session: Session) -> None:
        """
        Args:
            session: Of the command line.

        Raises:
            SettingsError: If the profile cannot be one.
        """
        self.session: Final = session
        self.folders: Final[Folders] = session.folders
        self.world: Profile | None = None
        self.settings = Settings()
        """As they come, where they cannot be read."""
        self.settings_error: SettingsError | None = None
        try:
            self.world = load_profile(profile=session.profile_flag)
            self.settings = self.world.settings
        except SettingsError as error:
            self.settings_error = error
        self._turn = threading.Lock()
        self._answer: Answer | None = None

    def command(self, *arguments: str) -> str:
        """Return a command line of ours for this profile, to be shown to the user."""
        return self.session.command(*arguments)

    def daemon(self) -> Answer:
        """Return what the daemon says; it is asked once."""
        with self._turn:
            if self._answer is None:
                self._answer = self._ask()
            return self._answer

    def _ask(self) -> Answer:
        from upstash_helper.client.daemon import DaemonClient
        from upstash_helper.protocol import discovery
        from upstash_helper.protocol.errors import ClientError

        runtime = self.folders.runtime
        try:
            client = DaemonClient.discover(runtime, timeout=ANSWER_SECONDS, start_command=self.command("start"))
            return Answer(client.status(), running=True)
        except ClientError as error:
            return Answer(None, error, running=discovery.is_running(runtime))
