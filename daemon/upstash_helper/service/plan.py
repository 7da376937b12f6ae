"""The plan of an installation: files and commands, each with a reason to show to the user, in order of execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Manager = Literal["systemd", "xdg-autostart", "launchd", "task-scheduler"]
"""The service manager that starts the daemon."""


class ServiceError(Exception):
    """Installing, uninstalling, or controlling the service failed. ``str()`` is a message for the user."""

    def __init__(self, detail: str, *, code: str) -> None:
        """
        Args:
            detail: What failed, and what to do about it.
            code: A stable code for programs.
        """
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to write."""

    path: Path
    content: bytes
    why: str
    kind: Literal["service", "tray", "document"] = "service"
    """Only ``service`` files are required. Others are left alone if the user created or changed them."""


@dataclass(frozen=True, kw_only=True)
class RunValue:
    r"""A value of the registry key ``HKCU\…\Run`` on Windows."""

    name: str
    command: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to run."""

    argv: tuple[str, ...]
    why: str
    unless: tuple[str, ...] = ()
    """A command that exits with 0 if this one is not needed."""
    when: Literal["always", "changed"] = "always"
    """``changed``: only if a file of the service was written or removed."""
    may_fail: bool = False
    """It fails if there is nothing to do."""
    remains: tuple[str, ...] = ()
    """A command that exits with 0 if what this one removes is still there, so that a failure of this one matters."""
    waits: bool = True
    """False: it keeps running after the plan is done."""
    until_fails: tuple[str, ...] = ()
    """A command that fails once this one has taken effect: launchd returns before a service has stopped."""
    retry_codes: frozenset[int] = frozenset()
    """The exit codes with which it fails while an earlier command is still being carried out."""
    advice: Mapping[int, str] = field(default_factory=dict)
    """What to do if it fails with these exit codes."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to install and uninstall the helper."""

    manager: Manager
    name: str
    """The service's name for its manager."""
    home_id: str
    """The ID in the markers of files; see ``managed_files``."""
    files: tuple[File, ...]
    values: tuple[RunValue, ...] = ()
    before_install: tuple[Command, ...] = ()
    """Run before files are written, if any need to be."""
    after_install: tuple[Command, ...] = ()
    before_uninstall: tuple[Command, ...] = ()
    after_uninstall: tuple[Command, ...] = ()
    folders: tuple[Path, ...] = ()
    """Folders that must exist."""
    leftovers: tuple[Path, ...] = ()
    """Service files for another manager, which may be left from an earlier installation."""
    links: tuple[Path, ...] = ()
    """Links that the manager creates when the service is enabled."""
    other_services: tuple[tuple[Path, str], ...] = ()
    """Folders and patterns of other profiles' services, which share the documents with this one."""
    document_patterns: tuple[tuple[Path, str], ...] = ()
    """Folders and patterns of documents of any version."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the commands need."""
    notes: tuple[str, ...] = ()
    """Messages for the user about what is not done, and why."""
    first_notes: tuple[str, ...] = ()
    """Messages for the user after a first installation."""
    upgrade_notes: tuple[str, ...] = ()
    """Messages for the user if files of an earlier installation are replaced."""
