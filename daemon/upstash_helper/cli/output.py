"""How things are shown: JSON for programs, tables for people; results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

# Within a second an answer feels prompt; after that a person wants to know that something is going on.
_PATIENCE_SECONDS: Final = 1.0


def print_json(value: Any) -> None:
    """Print one line of compact JSON."""
    click.echo(msgspec.json.encode(value).decode())


def note(text: str) -> None:
    """Say something that is not the result."""
    click.echo(text, err=True)


def interactive() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def styled(text: str, color: str) -> str:
    """Return ``text`` in color, where it goes to a terminal whose user did not say NO_COLOR (no-color.org)."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, fg=color)


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    """Return aligned columns."""
    lines = [[shown(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    if not lines:
        return ""
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in lines
    )


def sheet(pairs: Sequence[tuple[str, str]]) -> str:
    """Return names and values, one a line; a value without a name belongs to the one above it."""
    return table([(f"{name}:" if name else "", value) for name, value in pairs])


def yes_no(value: bool) -> str:
    """Return a boolean as a word."""
    return "on" if value else "off"


def moment(timestamp: str, *, seconds: bool = False) -> str:
    """Return an RFC 3339 timestamp in the user's own time."""
    from datetime import datetime

    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime(form)
    except (ValueError, OverflowError):
        return timestamp


def shown(text: str) -> str:
    """Return ``text`` so that it does nothing but stand there: on one line, with all that is not printable marked."""
    # A name that comes from elsewhere must not move the cursor or recolor the terminal.
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def quoted(text: str) -> str:
    """Return somebody else's words in quotes; those in it become single, so that it cannot end the quotation itself."""
    return '"{}"'.format(shown(text).replace('"', "'"))


class Progress:
    """Tells on stderr that something goes on, if it takes longer than a second."""

    def __init__(self, what: str, *, terminal_only: bool = False) -> None:
        """
        Args:
            what: In the manner of ``Creating the database``.
            terminal_only: Tell it a person alone, with a line that goes away again.
        """
        self._what = what
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._terminal_only = terminal_only
        self._moving = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _tell(self) -> None:
        began = time.monotonic()
        if self._done.wait(_PATIENCE_SECONDS):
            return
        if not self._moving:
            if not self._terminal_only:
                note(f"{self._what} …")
            return
        while True:
            click.echo(f"\r{self._what} … {time.monotonic() - began:.0f} s", nl=False, err=True)
            if self._done.wait(1.0):
                click.echo("\r\x1b[K", nl=False, err=True)
                return
