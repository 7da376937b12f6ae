"""What installing and uninstalling have in common: steps, files, commands."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

import msgspec

from upstash_helper.service import managed_files, registry
from upstash_helper.service.plan import Command, File, Plan, ServiceError
from upstash_helper.system import private_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Action = Literal["write", "replace", "run", "stop", "remove", "back-up"]

SECONDS: Final = 120.0
"""A command of a service manager may wait for the daemon, which is given a minute to start."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done, or would be."""

    action: Action
    what: str
    why: str


class Ran(NamedTuple):
    """A command that has ended."""

    code: int
    output: str


class Runner(Protocol):
    """What runs commands."""

    def __call__(self, argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> Ran:
        """Run a command, with ``environment`` added to this process's, and wait for its end unless told not to."""


def run(argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> Ran:
    """Run a command for real."""
    environ = {**os.environ, **environment}
    try:
        if not waits:
            subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
            return Ran(0, "")
        ended = subprocess.run(
            argv, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Ran(124, f"It did not end within {SECONDS:.0f} seconds.")
    except OSError as error:
        return Ran(127, f"{argv[0]}: {error.strerror}")
    return Ran(ended.returncode, (ended.stderr.strip() or ended.stdout.strip()))


class Execution:
    """A plan that is being carried out."""

    def __init__(
        self,
        plan: Plan,
        *,
        dry: bool = False,
        runner: Runner = run,
        halt: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            plan: What is carried out.
            dry: Change nothing: only find out what would be done.
            runner: Runs commands.
            halt: Stops a daemon that runs outside of its manager, before that starts one.
        """
        self.plan: Final = plan
        self.steps: Final[list[Step]] = []
        self.notes = list(plan.notes)
        self.dry = dry
        self._run = runner
        self._halt = halt

    def halt_daemon(self) -> None:
        """Stop a daemon that runs outside of its manager."""
        if not self.dry:
            self._halt()

    def back_up(self, path: Path) -> None:
        """Put a file aside."""
        copy = managed_files.backup_of(path)
        self.steps.append(Step(action="back-up", what=str(copy), why=f"What was in {path.name} before."))
        if not self.dry:
            path.replace(copy)

    def remove(self, path: Path, why: str) -> None:
        """
        Remove a file, a link or a folder.

        Raises:
            ServiceError: If that cannot be done.
        """
        self.steps.append(Step(action="remove", what=str(path), why=why))
        if self.dry:
            return
        try:
            managed_files.remove(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            message = f"{path}: cannot be removed: {error.strerror}. Mend that and run uninstall again."
            raise ServiceError(message, code="not_removed") from error

    def look(self, path: Path) -> managed_files.Mark:
        """
        Return whose a file is.

        Raises:
            ServiceError: If it cannot be read.
        """
        try:
            return managed_files.look(path)
        except OSError as error:
            message = f"{path}: cannot be read: {error.strerror}."
            raise ServiceError(message, code="not_read") from error

    def is_ours(self, path: Path) -> bool:
        """Return whether install wrote it for this world."""
        whose, world = self.look(path)
        return whose in {"ours", "changed"} and world == self.plan.world

    def commands(self, commands: Sequence[Command], *, changed: bool) -> None:
        """
        Run those that are needed.

        Raises:
            ServiceError: If one fails that must not.
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
        ended = self._run(command.argv, environment=self.plan.environment, waits=command.waits)
        if ended.code and not command.may_fail:
            message = f"`{line}` failed with code {ended.code}: {ended.output or 'it says nothing.'}"
            raise ServiceError(message, code="command_failed")


class Installer(Execution):
    """Installs."""

    def __init__(self, plan: Plan, *, force: bool = False, **options: Any) -> None:
        """
        Args:
            plan: What is carried out.
            force: Overwrite what somebody changed by hand; a copy is kept.
            options: As ``Execution``.
        """
        super().__init__(plan, **options)
        self._force = force

    def install(self) -> None:
        """
        Put everything where it belongs, and start it. What is as it should be already is not touched.

        Raises:
            ServiceError: If a file is somebody else's, or a command fails. What was done until then stays, and
                installing again goes on from there.
        """
        due = [file for file in self.plan.files if self._is_due(file)]
        leftovers = [path for path in self.plan.leftovers if self.is_ours(path)]
        changed = bool(leftovers) or any(file.kind == "service" for file in due)
        if changed:
            self.commands(self.plan.before, changed=True)
            self.halt_daemon()
        for path in leftovers:
            self.remove(path, "Another way to start the daemon takes its place.")
        for file in due:
            self._write(file)
        self._write_values()
        for folder in () if self.dry else self.plan.folders:
            private_files.make_folder(folder)
        self.commands(self.plan.after, changed=changed)

    def _write_values(self) -> None:
        for value in self.plan.values:
            if registry.is_due(value):
                self.steps.append(Step(action="write", what=rf"HKCU\…\Run\{value.name}", why=value.why))
                if not self.dry:
                    registry.write(value)

    def _is_due(self, file: File) -> bool:
        """
        Return whether a file has to be written.

        Raises:
            ServiceError: If it is somebody else's and the service cannot do without it.
        """
        whose, world = self.look(file.path)
        if whose == "absent":
            return True
        if file.path.is_file() and not file.path.is_symlink() and file.path.read_bytes() == file.content:
            return False
        if whose in {"ours", "changed"} and file.kind == "service" and world != self.plan.world:
            message = (
                f"{file.path} belongs to a helper with another UPSTASH_HELPER_HOME. Uninstall that one first, with its "
                "UPSTASH_HELPER_HOME (or none, if it has none); or use a profile: upstash-helper --profile NAME install"
            )
            raise ServiceError(message, code="other_world")
        if whose == "ours" or self._force:
            return True
        words = "was changed by hand since install wrote it" if whose == "changed" else "was not written by install"
        if file.kind == "service":
            hint = " For changes that last: systemctl --user edit." if self.plan.manager == "systemd" else ""
            message = f"{file.path} {words}. To have it replaced, with a copy kept beside it: install --force.{hint}"
            raise ServiceError(message, code="changed_by_hand")
        self.notes.append(f"Left as it is, for it {words}: {file.path}")
        return False

    def _write(self, file: File) -> None:
        whose, _ = self.look(file.path)
        if whose in {"changed", "foreign"}:
            self.back_up(file.path)
        action: Action = "write" if whose == "absent" else "replace"
        self.steps.append(Step(action=action, what=str(file.path), why=file.why))
        if self.dry:
            return
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            private_files.write(file.path, file.content)
        except OSError as error:
            message = f"{file.path}: cannot be written: {error.strerror}. Mend that and run install again."
            raise ServiceError(message, code="not_written") from error


class Uninstaller(Execution):
    """Uninstalls."""

    def uninstall(self, *, purge: bool = False) -> None:
        """
        Stop everything and remove it. What is not there is passed over, so half an installation can be removed too.

        Args:
            purge: Remove copies of changed files as well, and what the user added to the units.

        Raises:
            ServiceError: If a file cannot be removed.
        """
        mine = [file.path for file in self.plan.files if file.kind != "document"]
        found = [path for path in (*mine, *self.plan.leftovers) if self._is_removable(path)]
        links = [link for link in self.plan.links if link.is_symlink()] if self._is_mine() else []
        if found or links:
            self.commands(self.plan.leaving, changed=True)
            self.halt_daemon()
        for path in found:
            self._take_away(path, purge=purge)
        for link in links:
            if link.is_symlink():  # `systemctl disable` has removed it otherwise
                self.remove(link, "It enabled the service.")
        self._remove_documents(purge=purge)
        for path in managed_files.debris(self.plan):
            self.remove(path, "An installation was cut short while it wrote this.")
        self._remove_values()
        self._deal_with_additions(purge=purge)
        if found or links:
            self.commands(self.plan.left, changed=True)
        if not self.dry:
            managed_files.remove_empty_folders(self.plan)

    def _take_away(self, path: Path, *, purge: bool) -> None:
        # An entry of the tray is changed where a desktop lets its user switch it off.
        trays = {file.path for file in self.plan.files if file.kind == "tray"}
        if managed_files.look(path).whose == "changed" and not purge and path not in trays:
            self.back_up(path)
        else:
            self.remove(path, "It was written by install.")

    def _remove_documents(self, *, purge: bool) -> None:
        documents = [path for path in managed_files.documents(self.plan) if self._is_removable(path)]
        others = managed_files.siblings(self.plan)
        if documents and others:
            self.notes.append(f"Completions and man pages stay: {', '.join(others)} is installed too.")
            return
        for path in documents:
            self._take_away(path, purge=purge)

    def _remove_values(self) -> None:
        for value in self.plan.values:
            if registry.is_there(value):
                self.steps.append(Step(action="remove", what=rf"HKCU\…\Run\{value.name}", why=value.why))
                if not self.dry:
                    registry.remove(value)

    def _deal_with_additions(self, *, purge: bool) -> None:
        for path in managed_files.additions(self.plan):
            if purge:
                self.remove(path, "It belonged to the service.")
            else:
                self.notes.append(f"Yours, and left where it is: {path}")

    def _is_removable(self, path: Path) -> bool:
        whose, world = self.look(path)
        if whose == "absent":
            return False
        tray = any(file.path == path and file.kind == "tray" for file in self.plan.files)
        document = path in set(managed_files.documents(self.plan))
        wanted = managed_files.USUAL if document else self.plan.world
        if tray or (whose in {"ours", "changed"} and world == wanted):
            return True
        words = "was not written by install" if whose == "foreign" else "belongs to another UPSTASH_HELPER_HOME"
        self.notes.append(f"Left as it is, for it {words}: {path}")
        return False

    def _is_mine(self) -> bool:
        """Return whether no service file here is of another world: its links have the same names."""
        services = [*(file.path for file in self.plan.files if file.kind == "service"), *self.plan.leftovers]
        return all(self.look(path).whose == "absent" or self.is_ours(path) for path in services)
