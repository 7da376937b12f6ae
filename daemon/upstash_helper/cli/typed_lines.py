"""
Lines that the user types or pastes while a command waits for something else.

A terminal's own line editing cuts a line at 4,096 bytes, and an address with an authorization code can be longer. So
the lines are put together here. They are not echoed: they contain a code, and would stay in the scrollback.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import signal
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import click

from upstash_helper.cli.output import discard_typed, interactive, note

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType, TracebackType

MAX_LINE: Final = 65_536
"""Characters. The rest of a longer line is dropped."""

_POLL_SECONDS: Final = 1.0
"""After how many seconds it is checked again whether the terminal is ours: the user can stop and resume a job."""

_ERASE: Final = ("\x08", "\x7f")
_ERASE_LINE: Final = "\x15"
_INTERRUPT: Final = "\x03"
_END: Final = ("\x04", "\x1a")


class LineBuffer:
    """Puts characters together to lines, with the few keys that matter for a line that is not shown."""

    def __init__(self) -> None:
        self._characters: list[str] = []
        self.ended = False
        """Whether the end of the input was typed."""

    def feed(self, text: str) -> list[str]:
        """Take what was typed, and return the lines that are complete."""
        lines: list[str] = []
        for character in text:
            if character in "\r\n":
                lines.append(self.rest())
            elif character in _ERASE:
                del self._characters[-1:]
            elif character == _ERASE_LINE:
                self._characters.clear()
            elif character in _END:
                self.ended = self.ended or not self._characters
            elif len(self._characters) < MAX_LINE:
                self._characters.append(character)
        return lines

    def rest(self) -> str:
        """Return the line as far as it was typed, and begin a new one."""
        line = "".join(self._characters)
        self._characters.clear()
        return line


class _Source(Protocol):
    def read(self) -> str | None:
        """Return what was typed, which may be nothing; None at the end. Waits for a second at most."""

    def close(self) -> None:
        """Leave the terminal as it was before."""


class TypedLines:
    """
    Reads standard input in a thread, from entering the context to leaving it. Nothing is read if nobody can type there.
    """

    def __init__(self, on_line: Callable[[str], None], *, piped: bool = False) -> None:
        """
        Args:
            on_line: Called in the thread with each line that is not blank.
            piped: Whether to read a pipe as well, such as that of ``ssh HOST upstash-helper connect``.
        """
        self._on_line = on_line
        self._is_read = _can_be_typed_at() or (piped and _is_pipe())
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._on_sigterm: Callable[[int, FrameType | None], Any] | int | None = None

    @property
    def is_read(self) -> bool:
        """Whether something can be typed or sent."""
        return self._is_read

    def __enter__(self) -> Self:
        if self._is_read and threading.current_thread() is threading.main_thread():
            # By default, it would leave the terminal without an echo.
            self._on_sigterm = signal.signal(signal.SIGTERM, _end_program)
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if self._on_sigterm is not None:
            signal.signal(signal.SIGTERM, self._on_sigterm)

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """Leave standard input to the block, which asks a question."""
        self._end()
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        if self._is_read:
            self._stop = threading.Event()
            # Here, so that nothing is shown that is typed as soon as the caller has asked for it.
            arguments = (_source(), self._stop)
            self._thread = threading.Thread(target=self._run, args=arguments, name="typed-lines", daemon=True)
            self._thread.start()

    def _end(self) -> None:
        self._stop.set()
        # On Windows, a thread that reads a pipe cannot be woken up.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * _POLL_SECONDS)
        self._thread = None

    def _run(self, source: _Source, stop: threading.Event) -> None:
        buffer = LineBuffer()
        try:
            while not stop.is_set():
                typed = source.read()
                if typed is None:
                    lines, self._is_read = [buffer.rest()], False
                else:
                    lines = buffer.feed(typed)
                for line in filter(str.strip, lines):
                    self._on_line(line)
                if typed is None or buffer.ended:
                    return
        finally:
            source.close()


def _end_program(signal_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal_number)


def read_line(prompt: str) -> str:
    """
    Ask for one line of any length at the terminal, without showing it. Blank lines are skipped.

    Raises:
        click.Abort: If the input ends.
    """
    source, buffer = _source(), LineBuffer()
    try:
        click.echo(prompt, nl=False, err=True)
        while True:
            typed = source.read()
            lines = [] if typed is None else list(filter(str.strip, buffer.feed(typed)))
            if lines:
                note("")
                return lines[0]
            if typed is None or buffer.ended:
                note("")
                raise click.Abort
    finally:
        source.close()


def _can_be_typed_at() -> bool:
    return interactive() and (sys.platform == "win32" or _is_foreground(sys.stdin.fileno()))


def _is_pipe() -> bool:
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


if sys.platform == "win32":

    def _source() -> _Source:
        return _Console() if interactive() else _Pipe()

    class _Console:
        def __init__(self) -> None:
            from upstash_helper.system.console_input import ConsoleInput

            self._input = ConsoleInput()

        def read(self) -> str | None:
            """Return the keys that were pressed. Pasted text arrives as keys."""
            keys = self._input.read(_POLL_SECONDS)
            if keys and _INTERRUPT in keys:
                keys = keys.replace(_INTERRUPT, "")
                if not self._input.signals_interrupt:
                    import _thread

                    _thread.interrupt_main()
            return keys

        def close(self) -> None:
            """Leave the console, whose mode was not changed. The rest of a pasted text must not reach the shell."""
            self._input.close()
            discard_typed()

    class _Pipe:
        def read(self) -> str | None:
            """Return one line."""
            line = sys.stdin.buffer.readline(MAX_LINE)
            return line.decode(errors="replace") if line else None

        def close(self) -> None:
            """Do nothing: standard input is not ours."""

else:
    import termios

    def _source() -> _Source:
        return _File(sys.stdin.fileno())

    def _is_foreground(terminal: int) -> bool:
        """Return whether we may read a terminal and change its mode. A job in the background would be stopped."""
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:
            return True  # not our controlling terminal: nothing stops us

    class _File:
        def __init__(self, descriptor: int) -> None:
            self._descriptor = descriptor
            self._is_terminal = os.isatty(descriptor)
            self._before = termios.tcgetattr(descriptor) if self._is_terminal else None
            self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
            if _is_foreground(descriptor):
                self._turn_line_editing_off()

        def read(self) -> str | None:
            """Return what was typed."""
            if self._is_terminal and not _is_foreground(self._descriptor):
                time.sleep(_POLL_SECONDS)
                return ""
            self._turn_line_editing_off()
            ready, _, _ = select.select([self._descriptor], [], [], _POLL_SECONDS / 10)
            if not ready:
                return ""
            try:
                data = os.read(self._descriptor, MAX_LINE)
            except OSError:
                return None  # the terminal has gone
            return self._decoder.decode(data) if data else None

        def _turn_line_editing_off(self) -> None:
            # Each time, because a shell may have restored its own mode while the job was stopped.
            if self._before is None:
                return
            with contextlib.suppress(termios.error):
                mode = termios.tcgetattr(self._descriptor)
                if mode[3] & (termios.ICANON | termios.ECHO):
                    mode[3] &= ~(termios.ICANON | termios.ECHO)
                    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
                    termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

        def close(self) -> None:
            """Restore the terminal's mode. The rest of a pasted text must not reach the shell, so it is discarded."""
            if self._before is not None and _is_foreground(self._descriptor):
                with contextlib.suppress(termios.error):
                    termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._before)
