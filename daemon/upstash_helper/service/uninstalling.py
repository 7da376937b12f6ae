"""Taking back what plans did, whichever of them, and however far they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.service import managed_files, registry, traces
from upstash_helper.service.executor import Execution, Step

if TYPE_CHECKING:
    from pathlib import Path


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
        for path in traces.debris(self.plan):
            self.remove(path, "An installation was cut short while it wrote this.")
        self._remove_values()
        self._deal_with_additions(purge=purge)
        if found or links:
            self.commands(self.plan.left, changed=True)
        if not self.dry:
            traces.remove_empty_folders(self.plan)

    def _take_away(self, path: Path, *, purge: bool) -> None:
        # An entry of the tray is changed where a desktop lets its user switch it off.
        trays = {file.path for file in self.plan.files if file.kind == "tray"}
        if managed_files.look(path).whose == "changed" and not purge and path not in trays:
            self.back_up(path)
        else:
            self.remove(path, "It was written by install.")

    def _remove_documents(self, *, purge: bool) -> None:
        documents = [path for path in traces.documents(self.plan) if self._is_removable(path)]
        others = traces.siblings(self.plan)
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
        for path in traces.additions(self.plan):
            if purge:
                self.remove(path, "It belonged to the service.")
            else:
                self.notes.append(f"Yours, and left where it is: {path}")

    def _is_removable(self, path: Path) -> bool:
        whose, world = self.look(path)
        if whose == "absent":
            return False
        tray = any(file.path == path and file.kind == "tray" for file in self.plan.files)
        document = path in set(traces.documents(self.plan))
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
