"""The service as it is installed: whether it is, how it stands, starting and stopping it through its manager."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upstash_helper.service import installed_command, linux, macos, managed_files, windows
from upstash_helper.service.autostart import config_home
from upstash_helper.service.executor import Ran, Runner, run
from upstash_helper.service.facts import own_uid
from upstash_helper.service.plan import Manager, ServiceError
from upstash_helper.settings.profiles import DEFAULT_PROFILE, ENV_PREFIX, Folders

_PROPERTIES: Final = ("ActiveState", "SubState", "Result", "MainPID", "UnitFileState", "ActiveEnterTimestamp", "Listen")


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A service that is installed."""

    manager: Manager
    name: str
    """To its manager."""
    files: tuple[Path, ...]
    """Its own, without the tray's and the documents."""
    environment: Mapping[str, str]
    """What the manager's commands have to be told."""
    runner: Runner = run

    @property
    def starts(self) -> bool:
        """Whether its manager starts it on request; an entry of a desktop is read at login alone."""
        return self.manager != "xdg-autostart"

    def start(self) -> None:
        """
        Have it started.

        Raises:
            ServiceError: If its manager does not.
        """
        if self.manager == "systemd":
            units = self._units
            # One that is just telling a request that it cannot serve would otherwise be what is waited for.
            self._ask("systemctl", "--user", "stop", self.service, may_fail=True)
            self._ask("systemctl", "--user", "reset-failed", *units, may_fail=True)
            # It wants its socket, which comes first if nobody else has the port.
            self._ask("systemctl", "--user", "start", self.service)
        elif self.manager == "launchd":
            domain = _domain()
            if self._ask("launchctl", "print", f"{domain}/{self.name}", may_fail=True).code:
                self._ask("launchctl", "bootstrap", domain, str(self.files[0]))
            self._ask("launchctl", "kickstart", f"{domain}/{self.name}")
        elif self.manager == "task-scheduler":
            self._ask("schtasks", "/Run", "/TN", self.name)

    def release(self) -> None:
        """
        Have its manager stop it, and no longer start it with a request. The others do not start it by themselves.

        Raises:
            ServiceError: If its manager does not.
        """
        if self.manager == "systemd":
            self._ask("systemctl", "--user", "stop", *self._units)

    def enabled(self) -> bool | None:
        """Return whether it starts at login; None if its manager does not tell."""
        if self.manager == "systemd":
            states = [self.properties(unit).get("UnitFileState") for unit in self._units]
            return None if not all(states) else all(state == "enabled" for state in states)
        if self.manager == "launchd":
            return self._ask("launchctl", "print", f"{_domain()}/{self.name}", may_fail=True).code == 0
        if self.manager == "task-scheduler":
            return self._ask("schtasks", "/Query", "/TN", self.name, may_fail=True).code == 0
        return True

    def properties(self, unit: str) -> dict[str, str]:
        """Return what systemd says of a unit (``systemctl show``); nothing if it cannot be asked."""
        wanted = [f"--property={name}" for name in _PROPERTIES]
        ran = self.runner(("systemctl", "--user", "show", *wanted, unit), environment=self.environment)
        if ran.code:
            return {}
        return dict(line.split("=", 1) for line in ran.output.splitlines() if "=" in line)

    @property
    def program(self) -> tuple[str, ...]:
        """The command that it runs; empty if its file does not tell."""
        try:
            return installed_command.command_in(self.files[0])
        except OSError:
            return ()

    def changed_files(self) -> list[Path]:
        """Return which files somebody has changed since they were installed."""
        return [path for path in self.files if managed_files.look(path).whose in {"changed", "foreign"}]

    @property
    def socket(self) -> str:
        """Its socket's unit."""
        return f"{self.name}.socket"

    @property
    def service(self) -> str:
        """Its own unit."""
        return f"{self.name}.service"

    @property
    def _units(self) -> tuple[str, str]:
        return self.socket, self.service

    def _ask(self, *argv: str, may_fail: bool = False) -> Ran:
        ran = self.runner(argv, environment=self.environment)
        if ran.code and not may_fail:
            said = ran.output or "it says nothing."
            message = f"`{' '.join(argv)}` failed with code {ran.code}: {said}"
            raise ServiceError(message, code="command_failed")
        return ran


def find(
    profile: str, folders: Folders, *, environ: Mapping[str, str] | None = None, runner: Runner = run
) -> Installed | None:
    """
    Return the service of a profile, if it is installed for this very world.

    Args:
        profile: Its name.
        folders: Its folders.
        environ: The environment, by default the process's own.
        runner: Runs commands.
    """
    environ = os.environ if environ is None else environ
    home = environ.get(f"{ENV_PREFIX}HOME")
    world = managed_files.world_name(Path(home).expanduser().absolute() if home else None)
    for manager, name, files in _places(profile, folders, environ):
        if any(_belongs(path, world) for path in files):
            return Installed(manager=manager, name=name, files=files, environment=_told(environ), runner=runner)
    return None


def _places(profile: str, folders: Folders, environ: Mapping[str, str]) -> list[tuple[Manager, str, tuple[Path, ...]]]:
    name = "upstash-helper" if profile == DEFAULT_PROFILE else f"upstash-helper-{profile}"
    if sys.platform == "win32":
        return [("task-scheduler", name, (windows.task_file(folders),))]
    if sys.platform == "darwin":
        label = macos.label(profile)
        return [("launchd", label, (macos.agent_folder(Path.home()) / f"{label}.plist",))]
    home = config_home(environ)
    units = linux.unit_folder(home)
    return [
        ("systemd", name, (units / f"{name}.service", units / f"{name}.socket")),
        ("xdg-autostart", name, (linux.entry_file(home, profile),)),
    ]


def _belongs(path: Path, world: str) -> bool:
    try:
        whose, found = managed_files.look(path)
    except OSError:
        return False
    return whose in {"ours", "changed"} and found == world


def _told(environ: Mapping[str, str]) -> dict[str, str]:
    if sys.platform != "linux" or environ.get("XDG_RUNTIME_DIR"):
        return {}
    return {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}


def _domain() -> str:
    return f"gui/{own_uid()}"
