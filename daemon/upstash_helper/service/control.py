"""The installed service: finding it, its state, its command, and starting and stopping it through its manager."""

from __future__ import annotations

import html
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upstash_helper.service import launchd, linux, macos, managed_files, quoting, windows
from upstash_helper.service.autostart import config_home, own_uid
from upstash_helper.service.context import Platform, this_platform
from upstash_helper.service.executor import CommandResult, CommandRunner, execute, failure, run
from upstash_helper.service.plan import Manager
from upstash_helper.settings.profiles import DEFAULT_PROFILE, Folders, HomeUnknown, home_folder, root_of
from upstash_helper.system import open_files

_PROPERTIES: Final = ("ActiveState", "SubState", "Result", "MainPID", "UnitFileState", "ActiveEnterTimestamp", "Listen")


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An installed service."""

    manager: Manager
    name: str
    """The name for its manager."""
    files: tuple[Path, ...]
    """The service's files, without the tray's entry and the documents."""
    environment: Mapping[str, str]
    """Variables that the manager's commands need."""
    runner: CommandRunner = run
    sleep: Callable[[float], None] = time.sleep

    @property
    def starts(self) -> bool:
        """
        Whether its manager can start it on request. A desktop reads autostart entries only at login, and launchd starts
        agents only in the user's desktop session.
        """
        if self.manager == "launchd":
            return launchd.has_desktop_session(own_uid(), self.runner)
        return self.manager != "xdg-autostart"

    def start(self) -> None:
        """
        Start the service.

        Raises:
            ServiceError: If its manager fails to start it.
        """
        if self.manager == "systemd":
            units = self._units
            # Otherwise `start` could wait for a daemon that cannot serve and is about to exit.
            self._call("systemctl", "--user", "stop", self.service, may_fail=True)
            self._call("systemctl", "--user", "reset-failed", *units, may_fail=True)
            # This also starts the socket, unless another program uses the port.
            self._call("systemctl", "--user", "start", self.service)
        elif self.manager == "launchd":
            self._start_agent()
        elif self.manager == "task-scheduler":
            self._call("schtasks", "/Run", "/TN", self.name)

    def release(self) -> None:
        """
        Stop the service's socket, so that a request does not start the daemon again. Only systemd has one.

        Raises:
            ServiceError: If its manager fails to stop it.
        """
        if self.manager == "systemd":
            self._call("systemctl", "--user", "stop", *self._units)

    def enabled(self) -> bool | None:
        """Return whether it starts at login, or None if its manager cannot be reached."""
        if self.manager == "systemd":
            states = [self.properties(unit).get("UnitFileState") for unit in self._units]
            return None if not all(states) else all(state == "enabled" for state in states)
        if self.manager == "launchd":
            labels = launchd.disabled(own_uid(), self.runner)
            return None if labels is None else self.name not in labels
        if self.manager == "task-scheduler":
            return self._call("schtasks", "/Query", "/TN", self.name, may_fail=True).code == 0
        return True

    def state(self) -> launchd.State | None:
        """Return the state of a launchd agent; None for the other managers."""
        return launchd.state(own_uid(), self.name, self.runner) if self.manager == "launchd" else None

    def _start_agent(self) -> None:
        uid = own_uid()
        service = f"{launchd.domain(uid)}/{self.name}"
        if self._call(*launchd.show(service), may_fail=True).code == 0:
            # -k: an instance that is still exiting would count as running, and no other one would be started.
            started = self._call("launchctl", "kickstart", "-k", service, may_fail=True)
            if started.code not in {0, launchd.IN_PROGRESS}:
                raise failure(f"launchctl kickstart -k {service}", started, launchd.ADVICE)
            return
        # Loading it starts it.
        why = "Start the daemon."
        for command in (launchd.enable(uid, self.name, why), launchd.load(uid, self.name, self.files[0], why=why)):
            result = execute(command, runner=self.runner, environment=self.environment, sleep=self.sleep)
            if result.code and not command.may_fail:
                raise failure(" ".join(command.argv), result, command.advice)

    def properties(self, unit: str) -> dict[str, str]:
        """Return properties of a unit (``systemctl show``). Empty if systemd cannot be reached."""
        options = [f"--property={name}" for name in _PROPERTIES]
        result = self.runner(("systemctl", "--user", "show", *options, unit), environment=self.environment)
        if result.code:
            return {}
        return dict(line.split("=", 1) for line in result.output.splitlines() if "=" in line)

    @property
    def program(self) -> tuple[str, ...]:
        """The command that it runs. Empty if its file has none or cannot be read."""
        try:
            return command_in(self.files[0])
        except OSError:
            return ()

    def changed_files(self) -> list[Path]:
        """Return the files that were changed since they were installed."""
        return [path for path in self.files if managed_files.inspect(path).ownership in {"modified", "foreign"}]

    @property
    def socket(self) -> str:
        """The name of the socket unit."""
        return f"{self.name}.socket"

    @property
    def service(self) -> str:
        """The name of the service unit."""
        return f"{self.name}.service"

    @property
    def _units(self) -> tuple[str, str]:
        return self.socket, self.service

    def _call(self, *argv: str, may_fail: bool = False) -> CommandResult:
        result = self.runner(argv, environment=self.environment)
        if result.code and not may_fail:
            raise failure(" ".join(argv), result, {})
        return result


def find(
    profile: str,
    folders: Folders,
    *,
    environ: Mapping[str, str] | None = None,
    runner: CommandRunner = run,
    platform: Platform | None = None,
    user_home: Path | None = None,
) -> Installed | None:
    """
    Return the service of a profile, or None if it is not installed for this ``UPSTASH_HELPER_HOME``.

    Args:
        profile: The profile's name.
        folders: The profile's folders.
        environ: The environment; by default that of this process.
        runner: Runs commands.
        platform: The system; by default this one.
        user_home: The user's home folder, where macOS keeps agents.
    """
    environ = os.environ if environ is None else environ
    platform = this_platform() if platform is None else platform
    home_id = managed_files.home_id(root_of(environ))
    try:
        candidates = _candidates(profile, folders, environ, platform, user_home)
    except HomeUnknown:
        return None
    for manager, name, files in candidates:
        if any(_belongs_to(path, home_id) for path in files):
            environment = _manager_environment(environ, platform)
            return Installed(manager=manager, name=name, files=files, environment=environment, runner=runner)
    return None


def _candidates(
    profile: str, folders: Folders, environ: Mapping[str, str], platform: Platform, user_home: Path | None
) -> list[tuple[Manager, str, tuple[Path, ...]]]:
    name = "upstash-helper" if profile == DEFAULT_PROFILE else f"upstash-helper-{profile}"
    if platform == "win32":
        return [("task-scheduler", name, (windows.task_definition(folders),))]
    if platform == "darwin":
        label = macos.label(profile)
        return [("launchd", label, (macos.agent_folder(user_home or home_folder()) / f"{label}.plist",))]
    home = config_home(environ)
    units = linux.unit_folder(home)
    return [
        ("systemd", name, (units / f"{name}.service", units / f"{name}.socket")),
        ("xdg-autostart", name, (linux.entry_file(home, profile),)),
    ]


def _belongs_to(path: Path, home_id: str) -> bool:
    try:
        state = managed_files.inspect(path)
    except OSError:
        return False
    return state.is_managed and state.home_id == home_id


def _manager_environment(environ: Mapping[str, str], platform: Platform) -> dict[str, str]:
    if sys.platform == "win32" or platform != "linux" or environ.get("XDG_RUNTIME_DIR"):
        return {}
    return {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}


# --- the command in an installed file ---


def command_in(file: Path) -> tuple[str, ...]:
    """
    Return the command that an installed file runs. Empty if it has none.

    Args:
        file: A service unit, a desktop entry, a property list, or a task.

    Raises:
        OSError: If the file cannot be read.
    """
    content = open_files.read_bytes(file)
    text = managed_files.decode(content) or ""
    match file.suffix:
        case ".service":
            match = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
            return quoting.parse_systemd_command(match[1]) if match else ()
        case ".plist":
            return _command_in_property_list(content)
        case ".xml":
            parts = [re.search(rf"<{tag}>(.*)</{tag}>", text) for tag in ("Command", "Arguments")]
            return tuple(html.unescape(part[1]) for part in parts if part)
        case _:
            return tuple(quoting.parse_desktop_exec(quoting.parse_desktop_entry(text).get("Exec", "")))


def _command_in_property_list(content: bytes) -> tuple[str, ...]:
    import plistlib

    try:
        agent = plistlib.loads(content)
    except (ValueError, plistlib.InvalidFileException):
        return ()
    words = agent.get("ProgramArguments", []) if isinstance(agent, dict) else []
    return tuple(word for word in words if isinstance(word, str))
