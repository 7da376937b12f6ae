"""What the parts of one invocation share: the profile, the output format, and the client."""

from __future__ import annotations

import contextlib
import shlex
from functools import cached_property
from typing import TYPE_CHECKING

import click

from upstash_helper.cli.output import Progress, note
from upstash_helper.settings.profiles import DEFAULT_PROFILE, Folders, locate

if TYPE_CHECKING:
    from upstash_helper.client.daemon import DaemonClient


class Session:
    """One invocation of the command line."""

    def __init__(self, *, profile: str | None = None, folders: Folders | None = None) -> None:
        """
        Args:
            profile: The value of ``--profile``.
            folders: The profile's folders. By default, those of the environment.
        """
        self.profile_flag = profile
        self._folders = folders
        self.json = False

    @cached_property
    def _located(self) -> tuple[str, Folders]:
        return locate(profile=self.profile_flag)

    @property
    def profile(self) -> str:
        """
        The profile's name.

        Raises:
            SettingsError: If it is not a valid folder name.
        """
        return self._located[0]

    @property
    def folders(self) -> Folders:
        """
        The profile's folders.

        Raises:
            SettingsError: If the profile's name is not a valid folder name.
        """
        return self._folders or self._located[1]

    def command(self, *arguments: str) -> str:
        """Return an upstash-helper command line for this profile, to show to the user."""
        profile = () if self.profile == DEFAULT_PROFILE else ("--profile", self.profile)
        return shlex.join(("upstash-helper", *profile, *arguments))

    def progress(self, what: str) -> Progress:
        """
        Return a context manager that shows that ``what`` is in progress.

        With ``--json`` it is shown only on a terminal, because programs parse stderr.
        """
        return Progress(what, terminal_only=self.json)

    @cached_property
    def client(self) -> DaemonClient:
        """
        The client of the profile's daemon. A socket-activated daemon is started by connecting.

        Raises:
            DaemonUnreachable: If the daemon is not running.
            DiscoveryRefused: If the discovery file may belong to another user.
        """
        from upstash_helper.client.daemon import DaemonClient
        from upstash_helper.client.errors import DaemonNotRunning
        from upstash_helper.client.locate import explain_missing

        folders = self.folders
        try:
            return DaemonClient.discover(folders.runtime, state=folders.state, start_command=self.command("start"))
        except DaemonNotRunning as error:
            raise DaemonNotRunning(explain_missing(str(error), self.profile)) from None


def note_if_sandbox(session: Session) -> None:
    """Print a note on stderr if the databases that follow are a sandbox's, except with ``--json``."""
    from upstash_helper.protocol.errors import ClientError

    if session.json:
        return
    with contextlib.suppress(ClientError):
        if session.client.uses_sandbox():
            note(f"This is a sandbox (profile {session.profile}), not your Upstash account.", color="yellow")


pass_session = click.make_pass_decorator(Session)
