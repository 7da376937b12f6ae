"""What a plan is: files and commands, each with a sentence, in the order in which they are dealt with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Manager = Literal["systemd", "xdg-autostart", "launchd", "task-scheduler"]
"""What starts the daemon."""


class ServiceError(Exception):
    """Something that was to be installed, removed or asked for cannot be. ``str()`` is for the user."""

    def __init__(self, detail: str, *, code: str) -> None:
        """
        Args:
            detail: What happened, where, and what to do.
            code: Stable, for programs.
        """
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to be written."""

    path: Path
    content: bytes
    why: str
    kind: Literal["service", "tray", "document"] = "service"
    """The service's are what makes it work. The others may be the user's own affair, and are then left alone."""


@dataclass(frozen=True, kw_only=True)
class RunValue:
    r"""A value of the registry's key ``HKCU\…\Run``, on Windows."""

    name: str
    command: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to be run."""

    argv: tuple[str, ...]
    why: str
    unless: tuple[str, ...] = ()
    """A command that ends with 0 if there is nothing to do."""
    when: Literal["always", "changed"] = "always"
    """``changed``: only if a file of the service was written."""
    may_fail: bool = False
    """It ends with another code than 0 where there is nothing to do."""
    waits: bool = True
    """False: it goes on running when the plan is done."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the helper comes to stay, and how it goes."""

    manager: Manager
    name: str
    """Of the service, to its manager."""
    world: str
    """As it stands in the marks."""
    files: tuple[File, ...]
    values: tuple[RunValue, ...] = ()
    before: tuple[Command, ...] = ()
    """Before files are written, if any will be."""
    after: tuple[Command, ...] = ()
    """After they are written."""
    leaving: tuple[Command, ...] = ()
    """Before they are removed."""
    left: tuple[Command, ...] = ()
    """After they are removed."""
    folders: tuple[Path, ...] = ()
    """They have to be there."""
    leftovers: tuple[Path, ...] = ()
    """Further files of ours that may be there, from another way to start it."""
    links: tuple[Path, ...] = ()
    """What the manager makes when the service is enabled."""
    siblings: tuple[tuple[Path, str], ...] = ()
    """Where other profiles' services are; they share the documents with this one."""
    document_patterns: tuple[tuple[Path, str], ...] = ()
    """Where documents of another version may be."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its commands have to be told."""
    notes: tuple[str, ...] = ()
    """Sentences for the user, about what is not done and why."""
