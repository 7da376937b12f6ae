"""Facts about machines that this one is not, and a service manager that does as it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from upstash_helper.service.executor import Ran
from upstash_helper.service.facts import Facts
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
"""Paths of Python that have what each of the formats takes for something else."""


def facts(home: Path, **changes: Any) -> Facts:
    """Return facts about a user's machine with systemd, or what ``changes`` say."""
    usual: dict[str, Any] = {
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
    return Facts(**{**usual, **changes})


class Recorder:
    """
    A service manager that is only told.

    The ``unless`` commands of a plan ask it whether there is nothing to do, and it says what a real one would say after
    the other commands that it was given.
    """

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.failing: list[str] = []
        """Commands with one of these words fail."""
        self._there: set[tuple[str, str]] = set()

    def __call__(self, argv: Sequence[str], *, environment: Mapping[str, str], waits: bool = True) -> Ran:
        """Do it."""
        words = tuple(argv)
        subjects = [PurePath(word).name.removesuffix(".plist") for word in words]
        for ask, state in _ASKED.items():
            if ask in words:
                return Ran(0 if (state, subjects[-1]) in self._there else 1, "")
        self.ran.append(words)
        if any(word in words for word in self.failing):
            return Ran(1, "no")
        for verb, state in _MAKES.items():
            if verb in words:
                self._there |= {(state, subject) for subject in subjects}
        for verb, states in _ENDS.items():
            if verb in words:
                self._there -= {(state, subject) for state in states for subject in subjects}
        return Ran(0, "")


_ASKED = {"is-enabled": "enabled", "is-active": "active", "print": "loaded", "/Query": "task"}
_MAKES = {"enable": "enabled", "start": "active", "bootstrap": "loaded", "/Create": "task"}
_ENDS = {"stop": ("active",), "disable": ("enabled", "active"), "bootout": ("loaded",), "/Delete": ("task",)}


def listing(folder: Path) -> list[str]:
    """Return the files and links below a folder."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(str(PurePath(path.relative_to(folder))) for path in found)
