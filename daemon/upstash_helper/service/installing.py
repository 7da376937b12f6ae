"""Carrying a plan out: what is as it should be already is not touched."""

from __future__ import annotations

from typing import Any

from upstash_helper.protocol.discovery import make_private
from upstash_helper.service import registry
from upstash_helper.service.executor import Action, Execution, Step
from upstash_helper.service.plan import File, Plan, ServiceError
from upstash_helper.system import token_files


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
            make_private(folder)
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
            token_files.write(file.path, file.content)
        except OSError as error:
            message = f"{file.path}: cannot be written: {error.strerror}. Mend that and run install again."
            raise ServiceError(message, code="not_written") from error
