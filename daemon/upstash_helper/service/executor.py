"""The executor of plans: it writes and removes files, and runs the commands of the service manager."""

from __future__ import annotations

import locale
import os
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

import msgspec

from upstash_helper.service import managed_files, registry
from upstash_helper.service.plan import Command, File, Plan, ServiceError
from upstash_helper.system import bounded_run, open_files, private_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Action = Literal["write", "replace", "run", "stop", "remove", "back-up"]

COMMAND_SECONDS: Final = 120.0
"""A command of a service manager may wait for the daemon, which has a minute to start."""
SETTLE_SECONDS: Final = 30.0
"""How long a service manager may take to carry out a command: the daemon has 15 seconds to exit, and launchd waits."""
_POLL_SECONDS: Final = 0.5
# Programs of Windows that write text to a pipe, such as schtasks, use the code page of consoles.
_ENCODING: Final = "oem" if sys.platform == "win32" else locale.getencoding()
_AS_ROOT: Final = "Try re-running the command as root for richer errors."
"""launchctl's last line, which must not be followed: the agents belong to the user."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done, or would be done without ``--dry-run``."""

    action: Action
    what: str
    why: str


class CommandResult(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    output: str


class CommandRunner(Protocol):
    """A function that runs commands."""

    def __call__(self, argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> CommandResult:
        """Run a command with additional variables. If ``waits`` is false, return once it has started."""


def run(argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> CommandResult:
    """Run a command (the ``CommandRunner`` in production)."""
    environ = {**os.environ, **environment}
    try:
        if not waits:
            subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
            return CommandResult(0, "")
        # A service manager's command may start the daemon, which stays.
        result = bounded_run.run(argv, seconds=COMMAND_SECONDS, environ=environ, descendants_live=True)
    except OSError as error:
        return CommandResult(127, f"{argv[0]}: {error.strerror}")
    if result.code is None:
        return CommandResult(124, f"It did not finish within {COMMAND_SECONDS:.0f} seconds.")
    # What a command that succeeds reports is on standard output; standard error may have a warning.
    streams = (result.err, result.out) if result.code else (result.out, result.err)
    output = (each.decode(_ENCODING, errors="replace").strip() for each in streams)
    return CommandResult(result.code, next(filter(None, output), ""))


def execute(
    command: Command,
    *,
    runner: CommandRunner,
    environment: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> CommandResult:
    """
    Run a command, again while the service manager is still carrying out an earlier one, and wait until it has taken
    effect. Both take at most ``SETTLE_SECONDS``.

    Args:
        command: The command.
        runner: Runs commands.
        environment: Additional variables.
        sleep: Waits for a number of seconds.
    """
    attempts = int(SETTLE_SECONDS / _POLL_SECONDS)
    result = runner(command.argv, environment=environment, waits=command.waits)
    for _ in range(attempts):
        if result.code not in command.retry_codes:
            break
        sleep(_POLL_SECONDS)
        result = runner(command.argv, environment=environment, waits=command.waits)
    if result.code in command.retry_codes and command.unless:
        # Another program, or a login, may have done the same in the meantime.
        done = runner(command.unless, environment=environment)
        result = done if done.code == 0 else result
    if command.until_fails:
        for _ in range(attempts):
            if runner(command.until_fails, environment=environment).code:
                break
            sleep(_POLL_SECONDS)
    return result


def failure(line: str, result: CommandResult, advice: Mapping[int, str]) -> ServiceError:
    """Return the error for a command that failed."""
    output = result.output.removesuffix(_AS_ROOT).strip() or "no output."
    parts = (f"`{line}` failed with code {result.code}: {output}", advice.get(result.code, ""))
    return ServiceError(". ".join(part.rstrip(".") for part in parts if part) + ".", code="command_failed")


class Executor:
    """What installing and uninstalling have in common."""

    def __init__(
        self,
        plan: Plan,
        *,
        dry: bool = False,
        runner: CommandRunner = run,
        stop_daemon: Callable[[], object] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            plan: The plan to carry out.
            dry: Change nothing, and only determine the steps.
            runner: Runs commands.
            stop_daemon: Stops a daemon that was not started by the service manager.
            sleep: Waits for a number of seconds.
        """
        self.plan: Final = plan
        self.steps: Final[list[Step]] = []
        self.started: Final[list[Command]] = []
        """The commands that are meant to keep running. Whether they still run is not checked here."""
        self.notes = list(plan.notes)
        self.dry = dry
        self._run = runner
        self._stop_daemon = stop_daemon
        self._sleep = sleep

    def stop_daemon(self) -> None:
        """Stop a daemon that was not started by the service manager."""
        if not self.dry:
            self._stop_daemon()

    def back_up(self, path: Path) -> None:
        """Rename a file to its backup path."""
        backup = managed_files.backup_path(path)
        self.steps.append(Step(action="back-up", what=str(backup), why=f"Keep the previous content of {path.name}."))
        if not self.dry:
            open_files.replace(path, backup)

    def remove(self, path: Path, why: str) -> None:
        """
        Remove a file, a link, or a folder.

        Raises:
            ServiceError: If it cannot be removed.
        """
        self.steps.append(Step(action="remove", what=str(path), why=why))
        if self.dry:
            return
        try:
            managed_files.remove(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            message = f"Cannot remove {path}: {error.strerror}. Fix this and run uninstall again."
            raise ServiceError(message, code="not_removed") from error

    def inspect(self, path: Path) -> managed_files.FileState:
        """
        Return whether install wrote a file; see ``managed_files.inspect``.

        Raises:
            ServiceError: If the file cannot be read.
        """
        try:
            return managed_files.inspect(path)
        except OSError as error:
            message = f"Cannot read {path}: {error.strerror}."
            raise ServiceError(message, code="not_read") from error

    def is_own(self, path: Path) -> bool:
        """Return whether install wrote a file for this plan's home."""
        state = self.inspect(path)
        return state.is_managed and state.home_id == self.plan.home_id

    def commands(self, commands: Sequence[Command], *, changed: bool) -> None:
        """
        Run the commands that are needed.

        Raises:
            ServiceError: If a command fails that must not fail.
        """
        for command in commands:
            if self._needed(command, changed=changed):
                self._command(command)

    def _needed(self, command: Command, *, changed: bool) -> bool:
        if command.when == "changed" and changed:
            return True
        if command.unless:
            return self._run(command.unless, environment=self.plan.environment).code != 0
        return command.when == "always"

    def _command(self, command: Command) -> None:
        line = (
            subprocess.list2cmdline(command.argv) if self.plan.manager == "task-scheduler" else shlex.join(command.argv)
        )
        self.steps.append(Step(action="run", what=line, why=command.why))
        if self.dry:
            return
        result = execute(command, runner=self._run, environment=self.plan.environment, sleep=self._sleep)
        if not command.waits:
            self.started.append(command)
        if result.code and not (command.may_fail and not self._remains(command)):
            raise failure(line, result, command.advice)

    def _remains(self, command: Command) -> bool:
        """Return whether what a command has failed to remove is still there."""
        return bool(command.remains) and self._run(command.remains, environment=self.plan.environment).code == 0


class Installer(Executor):
    """Installs the service."""

    def __init__(self, plan: Plan, *, force: bool = False, **options: Any) -> None:
        """
        Args:
            plan: The plan to carry out.
            force: Replace files that were changed manually, after a backup.
            options: See ``Executor``.
        """
        super().__init__(plan, **options)
        self._force = force

    def install(self) -> None:
        """
        Write the files and start the service. Files that are up to date are not written again.

        Raises:
            ServiceError: If a file was not written by install, or a command fails. Completed steps are not undone;
                installing again continues from there.
        """
        outdated = [file for file in self.plan.files if self._is_outdated(file)]
        leftovers = [path for path in self.plan.leftovers if self.is_own(path)]
        changed = bool(leftovers) or any(file.kind == "service" for file in outdated)
        services = [file for file in outdated if file.kind == "service"]
        if services:
            upgraded = any(file.path.exists() for file in services)
            self.notes += self.plan.upgrade_notes if upgraded else self.plan.first_notes
        if changed:
            self.commands(self.plan.before_install, changed=True)
            self.stop_daemon()
        for path in leftovers:
            self.remove(path, "The daemon is now started in a different way.")
        for file in outdated:
            self._write(file)
        self._write_values()
        for folder in () if self.dry else self.plan.folders:
            private_files.make_folder(folder)
        self.commands(self.plan.after_install, changed=changed)

    def _write_values(self) -> None:
        for value in self.plan.values:
            if registry.is_outdated(value):
                self.steps.append(Step(action="write", what=rf"HKCU\…\Run\{value.name}", why=value.why))
                if not self.dry:
                    registry.write(value)

    def _is_outdated(self, file: File) -> bool:
        """
        Return whether a file must be written.

        Raises:
            ServiceError: If the service needs the file, but install must not replace it.
        """
        state = self.inspect(file.path)
        if state.ownership == "absent":
            return True
        if file.path.is_file() and not file.path.is_symlink() and open_files.read_bytes(file.path) == file.content:
            return False
        if state.is_managed and file.kind == "service" and state.home_id != self.plan.home_id:
            message = (
                f"{file.path} belongs to an installation with another UPSTASH_HELPER_HOME. Uninstall that one first, "
                "with its UPSTASH_HELPER_HOME (or without, if it has none), or use a profile: "
                "upstash-helper --profile NAME install"
            )
            raise ServiceError(message, code="other_world")
        if state.ownership == "unmodified" or self._force:
            return True
        reason = (
            "was changed manually after install wrote it"
            if state.ownership == "modified"
            else "was not written by install"
        )
        if file.kind == "service":
            hint = " For permanent changes, use systemctl --user edit." if self.plan.manager == "systemd" else ""
            message = f"{file.path} {reason}. To replace it and keep a backup, run install --force.{hint}"
            raise ServiceError(message, code="changed_by_hand")
        self.notes.append(f"Not replaced, because it {reason}: {file.path}")
        return False

    def _write(self, file: File) -> None:
        ownership = self.inspect(file.path).ownership
        if ownership in {"modified", "foreign"}:
            self.back_up(file.path)
        action: Action = "write" if ownership == "absent" else "replace"
        self.steps.append(Step(action=action, what=str(file.path), why=file.why))
        if self.dry:
            return
        try:
            private_files.make_folder(file.path.parent)
            private_files.write(file.path, file.content)
        except OSError as error:
            message = f"Cannot write {file.path}: {error.strerror}. Fix this and run install again."
            raise ServiceError(message, code="not_written") from error


class Uninstaller(Executor):
    """Uninstalls the service."""

    def uninstall(self, *, purge: bool = False) -> None:
        """
        Stop the service and remove its files. Missing files are ignored, so an incomplete installation can be removed.

        Args:
            purge: Also remove backups of changed files, and drop-ins that the user added to the units.

        Raises:
            ServiceError: If a file cannot be removed.
        """
        own = [file.path for file in self.plan.files if file.kind != "document"]
        installed = [path for path in (*own, *self.plan.leftovers) if self._is_removable(path)]
        links = [link for link in self.plan.links if link.is_symlink()] if self._owns_links() else []
        if installed or links:
            self.commands(self.plan.before_uninstall, changed=True)
            self.stop_daemon()
        for path in installed:
            self._remove_or_back_up(path, purge=purge)
        for link in links:
            if link.is_symlink():  # unless `systemctl disable` has removed it
                self.remove(link, "It enabled the service.")
        self._remove_documents(purge=purge)
        for path in managed_files.temporary_files(self.plan):
            self.remove(path, "Left over from an interrupted installation.")
        self._remove_values()
        self._handle_user_files(purge=purge)
        if installed or links:
            self.commands(self.plan.after_uninstall, changed=True)
        if not self.dry:
            managed_files.remove_empty_folders(self.plan)

    def _remove_or_back_up(self, path: Path, *, purge: bool) -> None:
        # Desktops change the tray's entry when the user disables it, so that is no reason to keep a backup.
        tray_entries = {file.path for file in self.plan.files if file.kind == "tray"}
        if managed_files.inspect(path).ownership == "modified" and not purge and path not in tray_entries:
            self.back_up(path)
        else:
            self.remove(path, "Written by install.")

    def _remove_documents(self, *, purge: bool) -> None:
        documents = [path for path in managed_files.documents(self.plan) if self._is_removable(path)]
        others = managed_files.other_services(self.plan)
        if documents and others:
            self.notes.append(f"Completions and man pages are kept, because {', '.join(others)} is also installed.")
            return
        for path in documents:
            self._remove_or_back_up(path, purge=purge)

    def _remove_values(self) -> None:
        for value in self.plan.values:
            if registry.exists(value):
                self.steps.append(Step(action="remove", what=rf"HKCU\…\Run\{value.name}", why=value.why))
                if not self.dry:
                    registry.remove(value)

    def _handle_user_files(self, *, purge: bool) -> None:
        for path in managed_files.user_files(self.plan):
            if purge:
                self.remove(path, "It belonged to the service.")
            else:
                self.notes.append(f"Not removed, because you created or changed it: {path}")

    def _is_removable(self, path: Path) -> bool:
        state = self.inspect(path)
        if state.ownership == "absent":
            return False
        is_tray_entry = any(file.path == path and file.kind == "tray" for file in self.plan.files)
        is_document = path in set(managed_files.documents(self.plan))
        home_id = managed_files.DEFAULT_HOME if is_document else self.plan.home_id
        if is_tray_entry or (state.is_managed and state.home_id == home_id):
            return True
        reason = (
            "was not written by install" if state.ownership == "foreign" else "belongs to another UPSTASH_HELPER_HOME"
        )
        self.notes.append(f"Not removed, because it {reason}: {path}")
        return False

    def _owns_links(self) -> bool:
        """Return False if a service file belongs to another home, whose links have the same names."""
        services = [*(file.path for file in self.plan.files if file.kind == "service"), *self.plan.leftovers]
        return all(self.inspect(path).ownership == "absent" or self.is_own(path) for path in services)
