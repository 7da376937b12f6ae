"""Terminals in a login session: shells with a pseudo-terminal, into which commands are pasted."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Final, Self

from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.user_systemd import UserSystemd

    Answers = Mapping[str, str | Callable[[str], str]]

_PROMPT: Final = "[ready]"

# No echo: what is read is what commands print, and the prompt. A command that fails is named.
_SETUP: Final = (
    f"PS1={_PROMPT} PS2= PROMPT_COMMAND=; stty -echo; bind 'set enable-bracketed-paste off' 2> /dev/null; "
    "trap 'echo \"[failed: $BASH_COMMAND]\"' ERR\n"
)
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """A user's terminal. Variables and functions that are pasted stay until the session ends."""

    def __init__(self, keyboard: int, screen: Path) -> None:
        """
        Args:
            keyboard: A descriptor; what is written to it is typed.
            screen: The file to which everything is printed.
        """
        self._keyboard = keyboard
        self._screen = screen
        self._seen = 0
        self._marks = 0

    @classmethod
    def opened(cls, session: UserSystemd, folder: Path, *, cwd: Path, environ: Mapping[str, str]) -> Self:
        """Open a terminal in ``session``, with files in ``folder``, and a shell in ``cwd``."""
        folder.mkdir()
        keys, screen = folder / "keyboard", folder / "screen"
        os.mkfifo(keys)
        screen.touch()
        shell = f"cd {shlex.quote(str(cwd))} && exec bash --norc --noprofile"
        keyboard = os.open(keys, os.O_RDWR)  # O_WRONLY would wait for a reader, and the reader for a writer
        script = f"script -qefc {shlex.quote(shell)} /dev/null"
        line = f"{script} < {shlex.quote(str(keys))} > {shlex.quote(str(screen))} 2>&1 &"
        started = session.run("sh", "-c", line, environ={"TERM": "dumb", **environ})
        assert 0 == started.code, started.err
        terminal = cls(keyboard, screen)
        terminal.paste(_SETUP)
        return terminal

    def type(self, text: str) -> None:
        """Type ``text``, as fast as a paste."""
        os.write(self._keyboard, text.encode())

    def paste(
        self, commands: str, answers: Mapping[str, str | Callable[[str], str]] | None = None, *, seconds: float = 60.0
    ) -> str:
        """
        Paste commands and return what they print.

        Args:
            commands: Lines. Only the last one may ask questions: it would read the lines after it as answers.
            answers: What to type, by the question to wait for, or a function of what is printed that returns it.
            seconds: How long the commands may take.
        """
        self._seen = len(self._screen.read_bytes())
        self.type(commands if commands.endswith("\n") else f"{commands}\n")
        for question, answer in (answers or {}).items():
            self._until(_containing(question), seconds)
            self.type(f"{answer if isinstance(answer, str) else answer(self._printed())}\n")
        if answers:
            # A command that reads a password discards what is typed before it has ended.
            self._until(lambda printed: printed.endswith(_PROMPT), seconds)
        self._marks += 1
        mark = f"[end {self._marks}]"
        self.type(f"echo '{mark[:4]}''{mark[4:]}'\n")
        self._until(_containing(mark), seconds)
        return self._printed().partition(mark)[0].replace(_PROMPT, "")

    def _until(self, seen: Callable[[str], bool], seconds: float) -> None:
        try:
            until(lambda: seen(self._printed()), seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the terminal shows:\n{self._printed()}") from error

    def _printed(self) -> str:
        return _ESCAPES.sub("", self._screen.read_bytes()[self._seen :].decode(errors="replace"))

    def close(self) -> None:
        """Close the keyboard, which ends the shell."""
        os.close(self._keyboard)


def _containing(text: str) -> Callable[[str], bool]:
    return lambda printed: text in printed
