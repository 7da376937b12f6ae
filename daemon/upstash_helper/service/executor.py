"""What installing and uninstalling have in common: steps, files, commands."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

import msgspec

from upstash_helper.service import managed_files, traces
from upstash_helper.service.plan import Command, Plan, ServiceError

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
        copy = traces.backup_of(path)
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
            traces.remove(path)
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
