"""The install context of any platform, and a fake service manager that records its commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from upstash_helper.service.context import InstallContext
from upstash_helper.service.executor import CommandResult
from upstash_helper.settings.profiles import Folders

AWKWARD = [
    "/home/a b/.venv/bin/python",
    "/home/Zoë/世界/python",
    "/opt/100%/%h/%%/python",
    "/opt/$HOME/${HOME}/$$/python",
    '/opt/say "hi"/python',
    "/opt/it's/python",
    "/opt/back\\slash/\\n/\\x41/python",
    "/opt/a;b/ ; /c&d|e<f>g*h?i#j(k)~l/python",
    "/opt/tab\there/python",
    "/opt/ leading and trailing /python ",
    "/opt/@NAME@/@PORT@/python",
    "/opt/`id`/python",
]
"""Paths of Python with characters that are special in one of the formats."""


def context(home: Path, **changes: Any) -> InstallContext:
    """Return the context of a user on a machine with systemd, with some fields changed."""
    defaults: dict[str, Any] = {
        "platform": "linux",
        "profile": "default",
        "program": ("/opt/venv/bin/python", "-P", "-m", "upstash_helper"),
        "folders": Folders(
            config=home / ".config" / "upstash-helper",
            state=home / ".local" / "state" / "upstash-helper",
            runtime=home / "run" / "upstash-helper",
            logs=home / ".local" / "state" / "upstash-helper" / "log",
        ),
        "port": 3000,
        "home": home,
        "config_home": home / ".config",
        "data_home": home / ".local" / "share",
        "runtime_dir": home / "run",
        "systemd": True,
        "uid": 501,
        "user": "PC\\zoë",
        "documents": {"bash-completion/completions/upstash-helper": "complete\n", "man/man1/upstash-helper.1": ".TH\n"},
    }
    return InstallContext(**{**defaults, **changes})


class Recorder:
    """
    A fake service manager that records the commands it is given.

    It answers the ``unless`` commands of a plan as a real one would after the other commands it was given.
    """

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.failing: list[str] = []
        """Commands that contain one of these words fail."""
        self._state: set[tuple[str, str]] = set()

    def __call__(self, argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> CommandResult:
        """Run a command."""
        words = tuple(argv)
        names = [PurePath(word).name.removesuffix(".plist") for word in words]
        for query, state in _QUERIES.items():
            if query in words:
                return CommandResult(0 if (state, names[-1]) in self._state else 1, "")
        self.ran.append(words)
        if any(word in words for word in self.failing):
            return CommandResult(1, "no")
        for verb, state in _SETS.items():
            if verb in words:
                self._state |= {(state, name) for name in names}
        for verb, states in _CLEARS.items():
            if verb in words:
                self._state -= {(state, name) for state in states for name in names}
        return CommandResult(0, "")


_QUERIES = {"is-enabled": "enabled", "is-active": "active", "print": "loaded", "/Query": "task"}
_SETS = {"enable": "enabled", "start": "active", "bootstrap": "loaded", "/Create": "task"}
_CLEARS = {"stop": ("active",), "disable": ("enabled", "active"), "bootout": ("loaded",), "/Delete": ("task",)}


def listing(folder: Path) -> list[str]:
    """Return the files and links in a folder and its subfolders."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in paths)
