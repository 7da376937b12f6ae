"""What the commands of one invocation share: the profile, the form of the output, the client."""

from __future__ import annotations

import shlex
from functools import cached_property
from typing import TYPE_CHECKING

import click

from upstash_helper.cli.output import Progress
from upstash_helper.settings.profiles import DEFAULT_PROFILE, Folders, locate

if TYPE_CHECKING:
    from upstash_helper.client.daemon import DaemonClient


class Session:
    """One invocation of the command line."""

    def __init__(self, *, profile: str | None = None) -> None:
        """
        Args:
            profile: As ``--profile`` gave it.
        """
        self.profile_flag = profile
        self.json = False

    @cached_property
    def _located(self) -> tuple[str, Folders]:
        return locate(profile=self.profile_flag)

    @property
    def profile(self) -> str:
        """
        The profile's name.

        Raises:
            SettingsError: If it cannot be a folder's name.
        """
        return self._located[0]

    @property
    def folders(self) -> Folders:
        """
        The profile's folders.

        Raises:
            SettingsError: If its name cannot be a folder's.
        """
        return self._located[1]

    def command(self, *arguments: str) -> str:
        """Return a command line of ours for this profile, to be shown to the user."""
        profile = () if self.profile == DEFAULT_PROFILE else ("--profile", self.profile)
        return shlex.join(("upstash-helper", *profile, *arguments))

    def progress(self, what: str) -> Progress:
        """
        Return what tells that ``what`` goes on, while its block runs.

        With ``--json`` only a person at a terminal is told: a program that reads the errors finds nothing else.
        """
        return Progress(what, terminal_only=self.json)

    @cached_property
    def client(self) -> DaemonClient:
        """
        The client of the profile's daemon, which is started if a service manager does that on demand.

        Raises:
            DaemonUnreachable: If there is none.
            DiscoveryRefused: If its announcement may be another user's.
        """
        from upstash_helper.client.daemon import DaemonClient

        folders = self.folders
        return DaemonClient.discover(folders.runtime, state=folders.state, start_command=self.command("start"))


pass_session = click.make_pass_decorator(Session)
