"""
Questions about access for an app. An answer counts only if it was typed after the question could be read.

A question can appear while the user is typing something else: after another command, or because a new request arrives.
So what is typed is discarded until there has been a pause, and text that was pasted is not an answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.cli.output import interactive, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTLE_SECONDS: Final = 0.9
"""For how long nothing may have been typed before a question is asked."""
_PASTE_SECONDS: Final = 0.05
"""What comes this soon after the end of a line was not typed by a person."""
_POLL_SECONDS: Final = 0.02

_Answer = TypeVar("_Answer")


def ask(prompt: Callable[[], _Answer]) -> _Answer:
    """
    Ask a question, after a pause in which nothing is typed. Without a terminal, ask it immediately.

    Args:
        prompt: Asks the question and returns the answer. It is called again if the answer was part of a longer text.
    """
    if not interactive():
        return prompt()
    while True:
        with _every_key():
            while _typed_within(SETTLE_SECONDS):
                pass
        answer = prompt()
        with _every_key():
            is_pasted = _typed_within(_PASTE_SECONDS)
        if not is_pasted:
            return answer
        note("Pasted text with several lines is ignored. Type your answer.")


def typed_at_console(kbhit: Callable[[], bool], getwch: Callable[[], str], *, seconds: float) -> bool:
    """
    Wait for keys, discard them, and return whether there were any.

    Args:
        kbhit: Returns whether a key was pressed, as ``msvcrt.kbhit``.
        getwch: Returns the next key, as ``msvcrt.getwch``.
        seconds: How long to wait for the first one.

    Raises:
        KeyboardInterrupt: If Ctrl-C is among them: ``getwch`` returns it as a character.
    """
    deadline = time.monotonic() + seconds
    while not kbhit():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    while kbhit():
        if getwch() == "\x03":
            raise KeyboardInterrupt
    return True


if sys.platform == "win32":
    import msvcrt

    @contextlib.contextmanager
    def _every_key() -> Iterator[None]:
        yield

    def _typed_within(seconds: float) -> bool:
        return typed_at_console(msvcrt.kbhit, msvcrt.getwch, seconds=seconds)

else:
    import select
    import termios
    import tty

    @contextlib.contextmanager
    def _every_key() -> Iterator[None]:
        """Have the terminal pass on every key, and not only complete lines, without showing it. Ctrl-C still works."""
        before = termios.tcgetattr(sys.stdin)
        try:
            tty.setcbreak(sys.stdin, termios.TCSANOW)
            yield
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)

    def _typed_within(seconds: float) -> bool:
        """Wait for input, discard it, and return whether there was any. A terminal that is gone has none."""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return bool(ready and os.read(sys.stdin.fileno(), 4096))
