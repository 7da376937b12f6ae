"""Output: JSON for programs, tables for people. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from upstash_helper.system import console

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import TextIO

    from upstash_helper.protocol.wire import Recorded
    from upstash_helper.protocol.wire_apps import DashboardTicket

# Up to about a second feels immediate; a longer wait needs an explanation.
_PROGRESS_DELAY_SECONDS: Final = 1.0


def print_json(value: Any) -> None:
    """Print one line of compact JSON, in UTF-8 whatever the encoding of the terminal (RFC 8259, section 8.1)."""
    console.write_utf8(msgspec.json.encode(value) + b"\n")


def print_for_programs(text: str) -> None:
    """
    Print lines that another program reads, such as a shell script. They end with LF on Windows, too: shells there come
    from Unix, and take a CR for a part of the line.
    """
    with console.unix_lines():
        click.echo(text)


def note(text: str, *, color: str = "") -> None:
    """Print something that is not the result, to stderr."""
    shown = printable_lines(text)
    click.echo(colored(shown, color, sys.stderr) if color else shown, err=True)


def say(text: str) -> None:
    """Print a result in words."""
    click.echo(printable_lines(text))


def note_if_not_recorded(result: Recorded | DashboardTicket) -> None:
    """Print what the daemon says about a change that has taken effect and is not saved yet."""
    if not result.recorded and result.notice:
        note(result.notice)


def interactive() -> bool:
    """Return whether the user can be prompted."""
    return console.is_terminal(sys.stdin)


def discard_typed() -> None:
    """Discard what was typed at the terminal up to now: it cannot be an answer to a question that comes next."""
    if sys.platform == "win32":
        from upstash_helper.system import console_input

        console_input.discard()
    else:
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def colored(text: str, color: str, stream: TextIO | None = None) -> str:
    """
    Return ``text`` in color if ``stream`` is a terminal, unless NO_COLOR is set (no-color.org).

    Args:
        text: Printable text. Output that is made printable afterwards loses the color.
        color: Its name, such as ``green``.
        stream: Where it is printed. By default, standard output.
    """
    if os.environ.get("NO_COLOR") or not console.is_terminal(sys.stdout if stream is None else stream):
        return text
    return click.style(text, fg=color)


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    """Return aligned columns."""
    lines = [[printable(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    if not lines:
        return ""
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines
    )


def key_values(pairs: Sequence[tuple[str, str]]) -> str:
    """Return one line per key and value; a value with an empty key continues the one above it."""
    return table([(f"{key}:" if key else "", value) for key, value in pairs])


def on_off(value: bool) -> str:
    """Return a boolean as a word."""
    return "on" if value else "off"


def local_time(timestamp: str, *, seconds: bool = False) -> str:
    """Return an RFC 3339 timestamp in the user's time zone."""
    from datetime import datetime

    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime(form)
    except (ValueError, OverflowError):
        return timestamp


def printable(text: str) -> str:
    """Return ``text`` on one line, with a replacement character for everything that is not printable."""
    # A name that an app or a server chose must not move the cursor or recolor the terminal.
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def printable_lines(text: str) -> str:
    """Return ``text`` with ``printable`` applied to each line."""
    return "\n".join(map(printable, text.split("\n")))


def quoted(text: str) -> str:
    """Return ``text``, which an app chose, in double quotes. Those in it become single, so that it cannot end them."""
    return '"{}"'.format(printable(text).replace('"', "'"))


class Progress:
    """Shows on stderr that something is in progress once it has taken longer than a second."""

    def __init__(self, what: str, *, terminal_only: bool = False) -> None:
        """
        Args:
            what: Such as ``Creating the database``.
            terminal_only: Show it only on a terminal, in a line that is erased at the end.
        """
        self._what = printable(what)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._terminal_only = terminal_only
        self._on_terminal = console.is_terminal(sys.stderr)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _show(self) -> None:
        began = time.monotonic()
        if self._done.wait(_PROGRESS_DELAY_SECONDS):
            return
        if not self._on_terminal:
            if not self._terminal_only:
                note(f"{self._what} …")
            return
        while True:
            click.echo(f"\r{self._what} … {time.monotonic() - began:.0f} s", nl=False, err=True)
            if self._done.wait(1.0):
                click.echo("\r\x1b[K", nl=False, err=True)
                return
